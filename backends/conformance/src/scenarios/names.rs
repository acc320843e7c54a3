//! Names, odd files and permissions.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

use crate::{
    View,
    tools::{behind_the_door, chmod, sh, write},
};

/// Nobody may open them to see what is in them.
pub async fn n1_n2_pipes_and_sockets(mut view: View) {
    let (pipe, socket) = (view.root().join("pipe.lua"), view.root().join("socket.lua"));
    sh(view.root(), "mkfifo", "mkfifo pipe.lua");
    let listener = UnixListener::bind(&socket).unwrap();
    symlink("/dev/zero", view.root().join("zero.lua")).unwrap();
    write(&view.root().join("x"), "1");
    view.check("making them").await;
    drop(listener);
    fs::remove_file(&socket).unwrap();
    write(&socket, "2");
    let _ = fs::remove_file(&pipe);
    write(&pipe, "2");
    view.check("files in their place").await;
    view.stop().await;
}

/// And a save by way of a longer one cannot be.
pub async fn n6_the_longest_name(mut view: View) {
    let file = view.root().join("x".repeat(255));
    for save in ["1", "2"] {
        write(&file, save);
        view.check(save).await;
    }
    fs::rename(&file, view.root().join("y".repeat(255))).unwrap();
    view.check("renaming").await;
    view.stop().await;
}

/// Line feeds, quotes, a dash in front, what is no UTF-8; of files and of directories.
pub async fn n7_n8_names_are_bytes(mut view: View) {
    for name in
        [&b"a\nb"[..], b"-rf", b"\xff\xfe", b"\"'\\", b" ", b"..data", b"\xe2\x80\xaexul", b"*?[", b"$(x)"]
    {
        let file = view.root().join(OsStr::from_bytes(name));
        // Not every file system takes every name.
        if fs::write(&file, "1").is_err() {
            continue;
        }
        view.check("creating").await;
        write(&file, "2");
        view.check("writing").await;
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        view.check("a directory of that name").await;
        write(&file.join(OsStr::from_bytes(name)), "3");
        view.check("writing in it").await;
    }
    view.stop().await;
}

/// No system call takes the whole path; the way there is by steps.
pub async fn n9_path_too_long_to_be_named(mut view: View) {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let mut dir = openat(CWD, view.root(), flags, Mode::empty()).unwrap();
    let name = "d".repeat(200);
    for _ in 0..30 {
        mkdirat(&dir, &name, Mode::from_raw_mode(0o755)).unwrap();
        dir = openat(&dir, &name, flags, Mode::empty()).unwrap();
    }
    view.check("making them").await;
    write(&view.root().join("x"), "1");
    write(&view.root().join(&name).join("x"), "1");
    view.check("writing beside them").await;
    view.stop().await;
}

pub async fn n10_only_the_case_changes(mut view: View) {
    let (lower, upper) = (view.root().join("x.lua"), view.root().join("X.lua"));
    write(&lower, "1");
    view.check("creating").await;
    fs::rename(&lower, &upper).unwrap();
    view.check("renaming").await;
    write(&upper, "2");
    write(&lower, "3");
    view.check("writing").await;
    fs::create_dir_all(view.root().join("d")).unwrap();
    write(&view.root().join("d/x"), "1");
    view.check("a directory").await;
    fs::rename(view.root().join("d"), view.root().join("D")).unwrap();
    view.check("renaming it").await;
    write(&view.root().join("D/x"), "2");
    view.check("writing in it").await;
    view.stop().await;
}

/// A letter with its accent, as one character and as two.
pub async fn n11_two_names_that_look_alike(mut view: View) {
    let (composed, decomposed) = (view.root().join("\u{e9}.lua"), view.root().join("e\u{301}.lua"));
    write(&composed, "1");
    view.check("creating one").await;
    write(&decomposed, "2");
    view.check("creating the other").await;
    write(&composed, "3");
    view.check("writing the first").await;
    fs::remove_file(&decomposed).unwrap();
    view.check("removing the second").await;
    view.stop().await;
}

/// Whoever follows them never comes back.
pub async fn s10_links_in_circles(mut view: View) {
    let dir = view.root().join("d");
    fs::create_dir(&dir).unwrap();
    for (target, link) in
        [(".", "self"), ("..", "d/up"), ("b", "a"), ("a", "b"), ("/", "d/top"), ("self", "d/self")]
    {
        symlink(target, view.root().join(link)).unwrap();
    }
    view.check("linking").await;
    write(&dir.join("x"), "1");
    view.check("writing").await;
    write(&view.root().join("self/self/d/up/d/x"), "2");
    view.check("writing in circles").await;
    view.stop().await;
}

pub async fn x1_file_closed_and_opened(mut view: View) {
    let file = view.root().join("x");
    write(&file, "1");
    view.check("creating").await;
    for save in ["2", "3"] {
        chmod(&file, 0);
        view.check("closing").await;
        chmod(&file, 0o644);
        view.check("opening").await;
        write(&file, save);
        view.check("writing").await;
    }
    view.stop().await;
}

/// It must not keep anybody from watching the others.
pub async fn x2_closed_directory_beside_others(mut view: View) {
    let dir = |name: &str| view.root().join(name);
    let (before, closed, after) = (dir("a"), dir("b"), dir("c"));
    for dir in [&before, &closed, &after] {
        fs::create_dir(dir).unwrap();
        write(&dir.join("x"), "1");
    }
    chmod(&closed, 0);
    view.check("making one that is closed").await;
    write(&before.join("x"), "2");
    write(&after.join("x"), "2");
    view.check("writing in the others").await;
    chmod(&closed, 0o755);
    view.check("opening it").await;
    write(&closed.join("x"), "3");
    view.check("writing in it").await;
    view.stop().await;
}

pub async fn x3_changed_behind_a_closed_door(mut view: View) {
    let dir = view.root().join("d");
    fs::create_dir_all(dir.join("sub")).unwrap();
    write(&dir.join("x"), "1");
    view.check("creating").await;
    for round in ["1", "2"] {
        chmod(&dir, 0);
        view.check("closing").await;
        behind_the_door(&dir, || {
            write(&dir.join("x"), format!("behind {round}"));
            write(&dir.join(round), "new");
            write(&dir.join("sub/x"), round);
        });
        view.check("writing behind the door").await;
        chmod(&dir, 0o755);
        view.check("opening").await;
        write(&dir.join("sub/x"), "in the open");
        write(&dir.join("x"), "in the open");
        view.check("writing").await;
    }
    view.stop().await;
}
