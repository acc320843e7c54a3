//! What is done to a tree. Each is called by the test that
//! [`conformance_suite!`](crate::conformance_suite) makes of it, and panics when the view is wrong.

#![allow(missing_docs, clippy::missing_panics_doc)]

use std::{fs, io::Write, os::unix::fs::symlink, path::Path};

use crate::View;

pub use crate::random::random_operations;

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

pub async fn in_place_write(mut view: View) {
    let file = view.root().join("x");
    write(&file, "1");
    view.check("creating").await;
    write(&file, "2");
    view.check("writing").await;
    let mut open = fs::OpenOptions::new().append(true).open(&file).unwrap();
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

/// sed -i, rsync, most programs: a temporary file is renamed over it.
pub async fn e8_temporary_and_rename(mut view: View) {
    let (file, temporary) = (view.root().join("x"), view.root().join("sedAbC"));
    for save in ["1", "2", "3"] {
        write(&temporary, save);
        fs::rename(&temporary, &file).unwrap();
        view.check(save).await;
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

/// Two files change places at once. Where the system cannot, three renames come close.
pub async fn e12_rename_exchange(mut view: View) {
    let (a, b, c) = (view.root().join("a"), view.root().join("b"), view.outside().join("c"));
    write(&a, "1");
    write(&b, "2");
    view.check("creating").await;
    if rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, rustix::fs::RenameFlags::EXCHANGE)
        .is_err()
    {
        fs::rename(&a, &c).unwrap();
        fs::rename(&b, &a).unwrap();
        fs::rename(&c, &b).unwrap();
    }
    view.check("exchanging").await;
    view.stop().await;
}

/// Directories made faster than anybody can watch them.
pub async fn d1_mkdir_p_race(mut view: View) {
    for i in 0..50 {
        let deep = view.root().join(format!("{i}/b/c"));
        fs::create_dir_all(&deep).unwrap();
        write(&deep.join("x"), "1");
        if i % 5 == 0 {
            view.check("mkdir -p").await;
            write(&deep.join("x"), "2");
            view.check("writing in it").await;
        }
    }
    view.check("all of them").await;
    view.stop().await;
}

pub async fn d2_directory_moved_in(mut view: View) {
    let (away, here) = (view.outside().join("n"), view.root().join("n"));
    fs::create_dir_all(away.join("sub")).unwrap();
    write(&away.join("sub/x"), "1");
    fs::rename(&away, &here).unwrap();
    view.check("moving in").await;
    write(&here.join("sub/x"), "2");
    view.check("writing in it").await;
    view.stop().await;
}

pub async fn d3_directory_moved_out(mut view: View) {
    let (away, here) = (view.outside().join("n"), view.root().join("n"));
    fs::create_dir_all(here.join("sub")).unwrap();
    write(&here.join("sub/x"), "1");
    view.check("creating").await;
    fs::rename(&here, &away).unwrap();
    view.check("moving out").await;
    write(&away.join("sub/x"), "2");
    view.check("writing outside").await;
    fs::rename(&away, &here).unwrap();
    view.check("moving back").await;
    write(&here.join("sub/x"), "3");
    view.check("writing again").await;
    view.stop().await;
}

pub async fn d4_directory_renamed_inside(mut view: View) {
    let (old, new) = (view.root().join("n"), view.root().join("m"));
    fs::create_dir_all(old.join("sub")).unwrap();
    write(&old.join("sub/x"), "1");
    view.check("creating").await;
    fs::rename(&old, &new).unwrap();
    view.check("renaming").await;
    write(&new.join("sub/x"), "2");
    view.check("writing under the new name").await;
    fs::create_dir_all(old.join("sub")).unwrap();
    write(&old.join("sub/x"), "3");
    view.check("making the old name anew").await;
    write(&old.join("sub/x"), "4");
    write(&new.join("sub/x"), "5");
    view.check("writing under both").await;
    view.stop().await;
}

pub async fn d6_file_to_directory_and_back(mut view: View) {
    let place = view.root().join("x");
    for round in ["1", "2"] {
        write(&place, round);
        view.check("a file").await;
        fs::remove_file(&place).unwrap();
        fs::create_dir(&place).unwrap();
        write(&place.join("y"), round);
        view.check("a directory").await;
        fs::remove_dir_all(&place).unwrap();
    }
    write(&place, "3");
    view.check("a file again").await;
    view.stop().await;
}

/// The new directory is there before anybody notices that the old one went.
pub async fn d7_directory_replaced_at_once(mut view: View) {
    let dir = view.root().join("d");
    for round in 0..20 {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        view.check("replacing").await;
        write(&dir.join("x"), &round.to_string());
        view.check("writing in it").await;
    }
    view.stop().await;
}

pub async fn r1_root_deleted_and_recreated(mut view: View) {
    let root = view.root().to_owned();
    for round in ["1", "2"] {
        write(&root.join("x"), round);
        view.check("writing").await;
        fs::remove_dir_all(&root).unwrap();
        view.check("deleting").await;
        fs::create_dir(&root).unwrap();
        view.check("recreating").await;
    }
    write(&root.join("x"), "3");
    view.check("writing at last").await;
    view.stop().await;
}

pub async fn r2_root_recreated_at_once(mut view: View) {
    let root = view.root().to_owned();
    for round in ["1", "2", "3"] {
        fs::remove_dir_all(&root).unwrap();
        fs::create_dir(&root).unwrap();
        write(&root.join("x"), round);
        view.check("recreating").await;
        write(&root.join("x"), "other");
        view.check("writing").await;
    }
    view.stop().await;
}

pub async fn r3_root_moved_and_replaced(mut view: View) {
    let (root, away) = (view.root().to_owned(), view.outside().join("old"));
    write(&root.join("x"), "1");
    view.check("writing").await;
    fs::rename(&root, &away).unwrap();
    fs::create_dir(&root).unwrap();
    write(&root.join("x"), "2");
    view.check("replacing").await;
    write(&away.join("x"), "3");
    write(&root.join("x"), "4");
    view.check("writing in both").await;
    view.stop().await;
}

/// Twice: whoever forgets that the first watch died believes the third directory to be watched.
pub async fn s11_directory_deleted_and_recreated(mut view: View) {
    let dir = view.root().join("d/e");
    for round in ["1", "2", "3"] {
        fs::create_dir_all(&dir).unwrap();
        view.check("making").await;
        write(&dir.join("x"), round);
        view.check("writing").await;
        fs::remove_dir_all(view.root().join("d")).unwrap();
        view.check("deleting").await;
    }
    view.stop().await;
}

/// Names are bytes. And a link that leads nowhere harms nobody.
pub async fn n8_newline_in_a_name(mut view: View) {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    for name in [&b"a\nb"[..], b"-rf", b"\xff\xfe", b"\"'"] {
        let file = view.root().join(OsStr::from_bytes(name));
        // Not every file system takes every name.
        if fs::write(&file, "1").is_ok() {
            view.check("creating").await;
            write(&file, "2");
            view.check("writing").await;
        }
    }
    symlink("nobody@nowhere:1", view.root().join(".#x")).unwrap();
    write(&view.root().join("y"), "1");
    view.check("a link to nowhere").await;
    view.stop().await;
}
