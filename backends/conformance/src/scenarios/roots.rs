//! The root of the tree, and what is above it.

use std::{fs, os::unix::fs::symlink};

use crate::{View, tools::write};

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
    fs::remove_dir_all(&root).unwrap();
    fs::rename(&away, &root).unwrap();
    view.check("the old one is back").await;
    write(&root.join("x"), "5");
    view.check("writing in it").await;
    view.stop().await;
}

/// Nothing happens to the root itself.
pub async fn r4_parent_of_the_root_replaced(mut view: View) {
    let (root, site) = (view.root().to_owned(), view.root().parent().unwrap().to_owned());
    for round in ["1", "2"] {
        write(&root.join("x"), round);
        view.check("writing").await;
        let away = view.outside().join(round);
        fs::rename(&site, &away).unwrap();
        if round == "2" {
            view.check("moving the parent away").await;
        }
        fs::create_dir_all(&root).unwrap();
        write(&root.join("x"), "new");
        view.check("another parent").await;
        write(&away.join("root/x"), "old");
        write(&root.join("x"), "newer");
        view.check("writing in both").await;
    }
    view.stop().await;
}

/// What to do with a link is decided above; here it is no directory, until there is one again.
pub async fn r5_root_becomes_a_link(mut view: View) {
    let (root, away) = (view.root().to_owned(), view.outside().join("r2"));
    write(&root.join("x"), "1");
    view.check("writing").await;
    fs::rename(&root, &away).unwrap();
    symlink(&away, &root).unwrap();
    view.check("a link in place of the root").await;
    write(&away.join("x"), "2");
    view.check("writing behind the link").await;
    fs::remove_file(&root).unwrap();
    fs::rename(&away, &root).unwrap();
    view.check("the root itself again").await;
    write(&root.join("x"), "3");
    view.check("writing").await;
    view.stop().await;
}
