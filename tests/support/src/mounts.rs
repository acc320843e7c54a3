//! File systems made of programs that are installed.

use std::{
    fs,
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::DEADLINE;

/// `front`, on which something is mounted that shows `back`.
pub struct Mount {
    keep: TempDir,
    servers: Vec<Child>,
}

impl Mount {
    fn new() -> Self {
        let mount = Self { keep: tempfile::tempdir().unwrap(), servers: Vec::new() };
        fs::create_dir(mount.back()).unwrap();
        fs::create_dir(mount.front()).unwrap();
        fs::write(mount.back().join("x"), "1").unwrap();
        mount
    }

    /// Mounts by bindfs, which keeps no attributes.
    pub fn bindfs() -> Option<Self> {
        let mut mount = Self::new();
        let is_mounted = mount.mount_bindfs("attr_timeout=0,entry_timeout=0");
        told(is_mounted, "bindfs").then_some(mount)
    }

    /// Mounts by bindfs with these options. `false` where that cannot be.
    pub fn mount_bindfs(&mut self, options: &str) -> bool {
        let mut command = Command::new("bindfs");
        command.args(["-f", "-o", options]).arg(self.back()).arg(self.front());
        self.serve(&mut command)
    }

    /// Mounts by sshfs, without a network: it talks to the server of sftp through a pair of sockets.
    pub fn sshfs(options: &str) -> Option<Self> {
        let mut mount = Self::new();
        let (server, client) = UnixStream::pair().unwrap();
        let both = |end: UnixStream| {
            [Stdio::from(OwnedFd::from(end.try_clone().unwrap())), OwnedFd::from(end).into()]
        };
        let mut command = Command::new("/usr/lib/openssh/sftp-server");
        let [input, output] = both(server);
        let server = command.stdin(input).stdout(output).stderr(Stdio::null()).spawn();
        drop(command);
        let is_mounted = server.is_ok_and(|server| {
            mount.servers.push(server);
            let mut command = Command::new("sshfs");
            let [input, output] = both(client);
            command.args(["-f", "-o", "passive", "-o", options]);
            command.arg(format!("host:{}", mount.back().display())).arg(mount.front());
            mount.serve(command.stdin(input).stdout(output))
        });
        told(is_mounted, "sshfs with sftp-server").then_some(mount)
    }

    /// Mounts ext2 with inodes of 128 bytes, whose time stamps are whole seconds.
    pub fn ext2() -> Option<Self> {
        let mount = Self::new();
        let image = mount.keep.path().join("image");
        fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
        let is_mounted = run(Command::new("mkfs.ext2").args(["-q", "-I", "128"]).arg(&image))
            && run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(mount.front()));
        told(is_mounted, "ext2 on a loop device").then_some(mount)
    }

    /// What is behind the mount.
    pub fn back(&self) -> PathBuf {
        self.keep.path().join("back")
    }

    /// The mount, as it is called in a plan.
    pub fn front(&self) -> PathBuf {
        self.above().join("front")
    }

    /// The directory that both are in.
    pub fn above(&self) -> PathBuf {
        fs::canonicalize(self.keep.path()).unwrap()
    }

    fn serve(&mut self, command: &mut Command) -> bool {
        let command = command.stderr(Stdio::null());
        let Ok(mut server) = command.spawn() else { return false };
        let start = Instant::now();
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let before = device(self.keep.path());
        let is_mounted = loop {
            if device(&self.front()) != before {
                break true;
            }
            if server.try_wait().unwrap().is_some() || start.elapsed() > DEADLINE {
                break false;
            }
            thread::sleep(Duration::from_millis(5));
        };
        self.servers.push(server);
        is_mounted
    }

    /// Sends a signal to the process that serves the mount.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.servers.last().unwrap()), signal).unwrap();
    }

    /// Stops that process until it gets SIGCONT.
    pub fn suspend(&self) {
        hotloader_conformance::suspend(self.servers.last().unwrap());
    }

    /// Ends all that serve.
    pub fn kill(&mut self) {
        for mut server in self.servers.drain(..) {
            // A stopped one dies of this as well.
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Unmounts, also what does not answer.
    pub fn unmount(&self) {
        // It may not be mounted any more.
        let _ = run(Command::new("umount").args(["-l"]).arg(self.front()))
            || run(Command::new("fusermount3").args(["-q", "-u", "-z"]).arg(self.front()));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.unmount();
        self.kill();
    }
}

fn run(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Prints that a test proves nothing here.
pub fn told(is_mounted: bool, what: &str) -> bool {
    if !is_mounted {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what} cannot be mounted");
        eprintln!("SKIPPED: {what} cannot be mounted here");
    }
    is_mounted
}
