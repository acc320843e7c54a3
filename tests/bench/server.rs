//! The program under measurement: a process of its own on a site of its own, in memory if possible.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How a file is saved: both are what editors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Save {
    /// Truncate, write, close.
    InPlace,
    /// Write another file, rename it over.
    Atomic,
}

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    site: TempDir,
}

impl Server {
    /// Starts one with that `watch.quiet` and returns when it listens.
    pub(crate) fn start(quiet: Duration) -> io::Result<Self> {
        let shared_memory = Path::new("/dev/shm");
        let parent = if shared_memory.is_dir() { shared_memory.to_owned() } else { std::env::temp_dir() };
        let site = tempfile::Builder::new().prefix("hotloader-bench-").tempdir_in(parent)?;
        for dir in ["lua", "viewdefs", "config"] {
            fs::create_dir(site.path().join(dir))?;
        }
        fs::write(site.path().join("viewdefs/App.DEFAULT.html"), include_str!("site/App.DEFAULT.html"))?;
        let quiet = format!("watch.quiet = \"{}ms\"\n", quiet.as_millis());
        fs::write(site.path().join("config/config.toml"), quiet)?;
        fs::write(main_file(&site), program(0))?;
        let log = File::create(site.path().join("log"))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_lua-hotloader"))
            .args(["serve", "--hotload", "--port", "0", "--dir"])
            .arg(site.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let stdout = child.stdout.take().map(BufReader::new).ok_or(io::ErrorKind::BrokenPipe)?;
        let mut server = Self { child, address: String::new(), site };
        for line in stdout.lines() {
            if let Some(address) = line?.strip_prefix("listening on http://") {
                server.address = address.trim_end_matches('/').to_owned();
                return Ok(server);
            }
        }
        let log = fs::read_to_string(server.site.path().join("log")).unwrap_or_default();
        Err(io::Error::other(format!("the server did not start:\n{log}")))
    }

    /// Saves the version of the Lua file that shows `number`. Returns the moment just before the write
    /// or rename that completes it.
    pub(crate) fn save(&self, number: u32, save: Save) -> io::Result<Instant> {
        let (file, text) = (main_file(&self.site), program(number));
        match save {
            Save::InPlace => {
                let mut file = OpenOptions::new().write(true).truncate(true).open(file)?;
                let began = Instant::now();
                file.write_all(text.as_bytes())?;
                Ok(began)
            }
            Save::Atomic => {
                let new = file.with_extension("tmp");
                fs::write(&new, text)?;
                let began = Instant::now();
                fs::rename(new, file)?;
                Ok(began)
            }
        }
    }

    /// Resident memory of the server in bytes.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages: u64 = number(statm.split_whitespace().nth(1))?;
        Ok(pages * rustix::param::page_size() as u64)
    }

    /// Processor time that the server has used.
    pub(crate) fn processor(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // What follows the name, which may hold anything: state is the third field, utime the 14th.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let mut times = fields.split_whitespace().skip(11);
        let ticks: u64 = number(times.next())? + number(times.next())?;
        Ok(Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main_file(site: &TempDir) -> PathBuf {
    site.path().join("lua/main.lua")
}

fn program(number: u32) -> String {
    include_str!("site/main.lua").replace("VERSION", &version(number))
}

/// What version `number` of the file shows.
pub(crate) fn version(number: u32) -> String {
    format!("v{number:06}")
}

fn number(text: Option<&str>) -> io::Result<u64> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| io::Error::other("/proc is not as expected"))
}
