//! How editors and tools write files.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    thread,
    time::Duration,
};

use crate::{
    View,
    tools::{chmod, set_exact_time, sh, write},
};

pub async fn in_place_write(mut view: View) {
    let file = view.root().join("x");
    write(&file, "1");
    view.check("creating").await;
    write(&file, "2");
    view.check("writing").await;
    let mut open = OpenOptions::new().append(true).open(&file).unwrap();
    open.write_all(b"3").unwrap();
    view.check("appending, still open").await;
    drop(open);
    view.check("closing").await;
    view.stop().await;
}

/// vim: the file is moved away, a new one written under its name. The second save is what kills
/// those who watch the file.
pub async fn e1_rename_replace(mut view: View) {
    let (file, backup) = (view.root().join("x"), view.root().join("x~"));
    write(&file, "0");
    view.check("creating").await;
    for save in ["1", "2", "3"] {
        fs::rename(&file, &backup).unwrap();
        write(&file, save);
        fs::remove_file(&backup).unwrap();
        view.check(save).await;
    }
    view.stop().await;
}

/// The real one, in both of its ways to save. Where files are temporary it would not show the first,
/// unless told to.
pub async fn e1_vim(mut view: View) {
    write(&view.root().join("x.lua"), "return 0\n");
    view.check("creating").await;
    for (save, copy) in [(1, "no"), (2, "no"), (3, "yes"), (4, "auto")] {
        let line = format!(
            "vim -N -u NONE -i NONE -es -c 'set backupskip= writebackup backupcopy={copy}' \
             -c 's/[0-9]/{save}/' -c wq x.lua"
        );
        if !sh(view.root(), "vim", &line) {
            break;
        }
        view.check(&line).await;
    }
    view.stop().await;
}

/// Between two steps of a save nothing is there, and whoever looks just then has to look again.
pub async fn e2_absent_for_a_moment(mut view: View) {
    let file = view.root().join("x");
    for save in ["1", "2", "3"] {
        write(&file, save);
        view.check("writing").await;
        fs::remove_file(&file).unwrap();
        view.check("removing").await;
    }
    write(&file, "4");
    view.check("the last write").await;
    view.stop().await;
}

/// `sed -i` on a link puts a file in its place.
pub async fn e3_link_becomes_a_file(mut view: View) {
    let (link, target) = (view.root().join("x"), view.root().join("target"));
    write(&target, "1");
    symlink("target", &link).unwrap();
    view.check("linking").await;
    write(&view.root().join("sedAbC"), "2");
    fs::rename(view.root().join("sedAbC"), &link).unwrap();
    view.check("a file in place of the link").await;
    write(&link, "3");
    write(&target, "4");
    view.check("writing both").await;
    fs::remove_file(&link).unwrap();
    symlink("target", &link).unwrap();
    view.check("a link again").await;
    view.stop().await;
}

/// What editors leave beside a file: a link to nowhere as lock, backups, swap files, a file made only
/// to see whether one can be made. None of them may keep the real save from being told.
pub async fn e4_e5_e16_locks_backups_and_probes(mut view: View) {
    let at = |name: &str| view.root().join(name);
    let (file, lock, autosave) = (at("x"), at(".#x"), at("#x#"));
    let (backup, swap, probe) = (at("x~"), at(".x.swp"), at("4913"));
    for save in ["1", "2"] {
        symlink("user@host.1234:5678", &lock).unwrap();
        write(&swap, "b0VIM");
        write(&autosave, save);
        view.check("typing").await;
        write(&probe, "");
        fs::remove_file(&probe).unwrap();
        if file.exists() {
            fs::rename(&file, &backup).unwrap();
        }
        write(&file, save);
        chmod(&file, 0o644);
        for junk in [&autosave, &lock, &swap] {
            fs::remove_file(junk).unwrap();
        }
        view.check("saving").await;
    }
    view.stop().await;
}

/// JetBrains: two renames, and the new file may have the time of the old one.
pub async fn e6_safe_write(mut view: View) {
    let at = |suffix: &str| view.root().join(format!("x{suffix}"));
    let (file, new, old) = (at(""), at("___jb_tmp___"), at("___jb_old___"));
    write(&file, "0");
    view.check("creating").await;
    for save in ["1", "2", "3"] {
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        write(&new, save);
        set_exact_time(&new, time);
        fs::rename(&file, &old).unwrap();
        fs::rename(&new, &file).unwrap();
        fs::remove_file(&old).unwrap();
        view.check(save).await;
    }
    view.stop().await;
}

/// VS Code, the shell: the file is empty first and complete last.
pub async fn e7_truncate_then_write_in_parts(mut view: View) {
    let file = view.root().join("x");
    for round in 0..3_u8 {
        let mut open = File::create(&file).unwrap();
        view.check("truncating").await;
        for part in 0..16 {
            open.write_all(&[round * 16 + part; 4096]).unwrap();
            if part == 7 {
                view.check("half of it").await;
            }
        }
        drop(open);
        view.check("all of it").await;
    }
    view.stop().await;
}

/// Most programs: a temporary file is renamed over it.
pub async fn e8_temporary_and_rename(mut view: View) {
    let (file, temporary) = (view.root().join("x"), view.root().join("sedAbC"));
    for save in ["1", "2", "3"] {
        write(&temporary, save);
        fs::rename(&temporary, &file).unwrap();
        view.check(save).await;
    }
    view.stop().await;
}

/// Real programs, each twice.
pub async fn e8_tools(mut view: View) {
    let outside = view.outside();
    write(&view.root().join("x"), "value 0\n");
    view.check("creating").await;
    for round in 1..=2 {
        write(&outside.join("new"), format!("value {round}{round}{round}\n"));
        let source = outside.join("new");
        let source = source.display();
        for (program, line) in [
            ("sed", format!("sed -i 's/value .*/value {round}/' x")),
            ("perl", format!("perl -i -pe 's/value .*/value {round}{round}/' x")),
            (
                "patch",
                format!(
                    "printf -- '--- x\\n+++ x\\n@@ -1 +1 @@\\n-%s\\n+patched {round}\\n' \"$(cat x)\" | patch -s x"
                ),
            ),
            ("cp", format!("cp {source} x")),
            ("cp", format!("echo {round} >y; cp --preserve=all y x; rm y")),
            ("install", format!("install -m 644 {source} x")),
            ("rsync", format!("echo value {round} >y; rsync -t --ignore-times y x; rm y")),
            (
                "tar",
                format!("mkdir t; echo tar {round} >t/x; tar -C t -cf t.tar x; tar -xf t.tar; rm -r t t.tar"),
            ),
            ("tee", format!("echo tee {round} | tee x")),
            ("dd", format!("printf {round} | dd of=x conv=notrunc bs=1 seek=1")),
            ("truncate", "truncate -s 3 x".to_owned()),
            ("ln", format!("echo link {round} >y; ln -f y x; rm y")),
            ("mv", format!("echo mv {round} >{source}; mv {source} x; cp x {source}")),
        ] {
            if sh(view.root(), program, &line) {
                view.check(&line).await;
            }
        }
    }
    view.stop().await;
}

/// git, tar: the inode number is used again, size and time may be equal.
pub async fn e10_unlink_and_create(mut view: View) {
    let file = view.root().join("x");
    for save in ["1", "2", "3", "4"] {
        let _ = fs::remove_file(&file);
        write(&file, save);
        view.check(save).await;
    }
    view.stop().await;
}

/// A file that appears with its content: created, never closed by a writer.
pub async fn e11_hard_link_in(mut view: View) {
    let source = view.outside().join("source");
    write(&source, "1");
    fs::hard_link(&source, view.root().join("x")).unwrap();
    view.check("linking").await;
    view.stop().await;
}

/// The same with a file that had no name before.
pub async fn e11_unnamed_file_linked_in(mut view: View) {
    write(&view.root().join("named"), "1");
    view.check("creating").await;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
        use std::os::fd::AsRawFd;
        for save in ["1", "2"] {
            let file = view.root().join("x");
            let Ok(unnamed) = open(view.root(), OFlags::TMPFILE | OFlags::WRONLY, Mode::from_raw_mode(0o644))
            else {
                eprintln!("SKIPPED: this file system has no files without a name");
                break;
            };
            let mut unnamed = File::from(unnamed);
            unnamed.write_all(save.as_bytes()).unwrap();
            let _ = fs::remove_file(&file);
            let path = format!("/proc/self/fd/{}", unnamed.as_raw_fd());
            linkat(CWD, path, CWD, &file, AtFlags::SYMLINK_FOLLOW).unwrap();
            view.check(save).await;
            drop(unnamed);
            view.check("closing").await;
        }
    }
    view.stop().await;
}

/// Two files change places at once. Where the system cannot, three renames come close.
pub async fn e12_rename_exchange(mut view: View) {
    let (a, b, c) = (view.root().join("a"), view.root().join("b"), view.outside().join("c"));
    write(&a, "1");
    write(&b, "2");
    view.check("creating").await;
    super::directories::exchange(&a, &b, &c);
    view.check("exchanging").await;
    write(&a, "3");
    view.check("writing one").await;
    view.stop().await;
}

/// A write that no call tells of; what can be seen is that the file was closed.
pub async fn e13_mapped_write(mut view: View) {
    let file = view.root().join("x");
    write(&file, "0000");
    view.check("creating").await;
    for save in [b"1111", b"2222"] {
        write_mapped(&file, *save);
        view.check("a mapped write").await;
    }
    view.stop().await;
}

#[allow(unsafe_code, reason = "the row is about mapped memory, and there is no safe way to map a file")]
fn write_mapped(path: &Path, text: [u8; 4]) {
    use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses the place; the file has 4 bytes, and nobody cuts it short meanwhile.
    unsafe {
        let place = mmap(std::ptr::null_mut(), 4, protection, MapFlags::SHARED, &file, 0).unwrap();
        place.cast::<[u8; 4]>().write(text);
        msync(place, 4, MsyncFlags::SYNC).unwrap();
        munmap(place, 4).unwrap();
    }
}

/// It opens the file, thinks, writes, and never closes it.
pub async fn e14_slow_writer(mut view: View) {
    let file = view.root().join("x");
    write(&file, "0");
    view.check("creating").await;
    let mut open = File::create(&file).unwrap();
    view.check("opening").await;
    for part in [b"1", b"2", b"3"] {
        open.write_all(part).unwrap();
        view.check("a part").await;
    }
    drop(open);
    view.stop().await;
}

/// Writes through a descriptor whose file has no name any more, and which may not be confused with the
/// new file of that name.
pub async fn e15_write_after_unlink(mut view: View) {
    let file = view.root().join("x");
    write(&file, "1");
    view.check("creating").await;
    let mut ghost = OpenOptions::new().append(true).open(&file).unwrap();
    fs::remove_file(&file).unwrap();
    ghost.write_all(b"ghost").unwrap();
    view.check("writing to what is gone").await;
    write(&file, "2");
    ghost.write_all(b"ghost").unwrap();
    view.check("writing to both").await;
    drop(ghost);
    view.check("closing").await;
    write(&file, "3");
    view.check("writing").await;
    view.stop().await;
}

/// Permissions, times, a close without a write, the same bytes again.
pub async fn e17_touched_but_not_changed(mut view: View) {
    let file = view.root().join("x");
    write(&file, "1");
    view.check("creating").await;
    chmod(&file, 0o600);
    set_exact_time(&file, std::time::SystemTime::now());
    drop(OpenOptions::new().append(true).open(&file).unwrap());
    write(&file, "1");
    view.check("touching").await;
    write(&file, "2");
    view.check("writing").await;
    view.stop().await;
}

/// Some virtual machines tell of a change outside only by touching the file.
pub async fn e18_only_attributes(mut view: View) {
    let file = view.root().join("x");
    write(&file, "1");
    view.rest().await;
    set_exact_time(&file, std::time::SystemTime::now() - Duration::from_secs(5));
    let told = view.hints().await.expect("a touch is told");
    assert!(told.hints.covers(&file));
    view.stop().await;
}

/// Five hundred files at once, there and back, by the real git.
pub async fn e19_git_checkout(mut view: View) {
    let prepare = "export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null; git init -q -b main .; \
        git config user.name n; git config user.email e@example.org; \
        for i in $(seq 500); do mkdir -p d$((i % 20)); echo $i >d$((i % 20))/$i.lua; done; \
        git add .; git commit -qm one; git checkout -qb other; \
        for i in $(seq 500); do echo other $i >d$((i % 20))/$i.lua; done; \
        git mv d3 moved; mkdir -p new/deep; echo new >new/deep/x; git rm -qrf d4; git add .; git commit -qm two";
    write(&view.root().join("x.lua"), "1");
    view.check("creating").await;
    if sh(view.root(), "git", prepare) {
        view.check("two commits").await;
        for line in ["git checkout -q main", "git checkout -q other", "git checkout -q main"] {
            assert!(sh(view.root(), "git", line));
            view.check(line).await;
        }
        let stash = "echo changed >d1/1.lua; rm d2/2.lua; git stash -q";
        for line in [
            stash,
            "git stash pop -q",
            "git checkout -qf main",
            "git clean -qfdx",
            "git reset -q --hard other",
        ] {
            assert!(sh(view.root(), "git", line));
            view.check(line).await;
        }
        write(&view.root().join("d1/1.lua"), "after all");
        view.check("writing").await;
    }
    view.stop().await;
}

/// Neither half of a rename has its other one.
pub async fn i3_moved_out_and_another_moved_in(mut view: View) {
    let (file, away) = (view.root().join("x"), view.outside().join("x"));
    let (other, here) = (view.outside().join("y"), view.root().join("y"));
    for round in ["1", "2", "3"] {
        write(&file, round);
        write(&other, round);
        view.check("writing").await;
        fs::rename(&file, &away).unwrap();
        view.check("moving out").await;
        fs::rename(&other, &here).unwrap();
        view.check("moving in").await;
        fs::rename(&away, &here).unwrap();
        view.check("moving in over it").await;
    }
    view.stop().await;
}

/// Two names in two watched directories: a write through one tells nobody of the other, but each name
/// that comes or goes is told.
pub async fn s19_hard_links_to_one_file(mut view: View) {
    let (a, b) = (view.root().join("a"), view.root().join("d/b"));
    fs::create_dir(view.root().join("d")).unwrap();
    write(&a, "1");
    view.check("creating").await;
    fs::hard_link(&a, &b).unwrap();
    view.check("linking").await;
    fs::remove_file(&a).unwrap();
    view.check("removing one").await;
    write(&b, "2");
    view.check("writing the other").await;
    fs::hard_link(&b, &a).unwrap();
    write(&view.root().join("new"), "3");
    fs::rename(view.root().join("new"), &a).unwrap();
    view.check("breaking the pair, as a save by rename does").await;
    let writer = thread::spawn(move || write(&b, "4"));
    writer.join().unwrap();
    view.check("writing the one left alone").await;
    view.stop().await;
}
