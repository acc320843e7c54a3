//! Directories that come, go, move and are replaced.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::{View, tools::write};

/// Two entries change places at once, or nearly so where the system cannot.
pub(crate) fn exchange(a: &Path, b: &Path, spare: &Path) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).is_ok() {
            return;
        }
    }
    fs::rename(a, spare).unwrap();
    fs::rename(b, a).unwrap();
    fs::rename(spare, b).unwrap();
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

/// Several at once, while the view is looking and somebody else moves what was just made.
pub async fn d1_mkdir_p_race_of_several_writers(mut view: View) {
    for round in 0..4 {
        let done = Arc::new(AtomicBool::new(false));
        let makers: Vec<_> = (0..3)
            .map(|maker| {
                let root = view.root().to_owned();
                thread::spawn(move || {
                    for i in 0..60 {
                        let deep = root.join(format!("{maker}/{}/{i}/c", i % 4));
                        // The one who moves may have taken the way away again.
                        if fs::create_dir_all(&deep).is_ok() {
                            let _ = fs::write(deep.join("x"), format!("{round} {i}"));
                        }
                    }
                })
            })
            .collect();
        let mover = {
            let (root, done) = (view.root().to_owned(), done.clone());
            thread::spawn(move || {
                for i in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let _ = fs::rename(
                        root.join(format!("{}/{}", i % 3, i % 4)),
                        root.join(format!("moved{}", i % 7)),
                    );
                    let _ = fs::rename(
                        root.join(format!("moved{}", i % 7)),
                        root.join(format!("{}/again", i % 3)),
                    );
                    thread::yield_now();
                }
            })
        };
        while makers.iter().any(|maker| !maker.is_finished()) {
            view.follow().await;
        }
        makers.into_iter().for_each(|maker| maker.join().unwrap());
        done.store(true, Ordering::Relaxed);
        mover.join().unwrap();
        view.check("all writers stopped").await;
        write(&view.root().join("0/x"), round.to_string());
        view.check("one more write").await;
        fs::remove_dir_all(view.root()).unwrap();
        fs::create_dir(view.root()).unwrap();
    }
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

/// Somebody writes all the while a directory is being listed and armed.
pub async fn d5_written_while_it_is_armed(mut view: View) {
    for round in 0..30 {
        let dir = view.root().join(round.to_string());
        let writer = {
            let dir = dir.clone();
            thread::spawn(move || {
                fs::create_dir(&dir).unwrap();
                for i in 0..40 {
                    write(&dir.join("x"), format!("{round} {i}"));
                }
            })
        };
        while !writer.is_finished() {
            view.follow().await;
        }
        writer.join().unwrap();
        view.check("the last write").await;
    }
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
        write(&dir.join("x"), round.to_string());
        view.check("writing in it").await;
    }
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

/// The old tree lives on under another name, and must not be taken for the new one.
pub async fn s12_directory_renamed_away_and_replaced(mut view: View) {
    let (dir, old) = (view.root().join("ext"), view.outside().join("ext.old"));
    fs::create_dir_all(dir.join("d")).unwrap();
    write(&dir.join("d/a"), "1");
    view.check("creating").await;
    fs::rename(&dir, &old).unwrap();
    fs::create_dir_all(dir.join("d")).unwrap();
    write(&dir.join("d/a"), "2");
    view.check("replacing").await;
    write(&old.join("d/a"), "old");
    write(&dir.join("d/a"), "3");
    view.check("writing in both").await;
    fs::remove_dir_all(&old).unwrap();
    write(&dir.join("d/a"), "4");
    view.check("writing after the old one is gone").await;
    view.stop().await;
}

/// As a farm of links unfolds one of them into a directory and folds it again.
pub async fn s16_link_to_directory_and_back(mut view: View) {
    let (place, target) = (view.root().join("d"), view.root().join("target"));
    fs::create_dir(&target).unwrap();
    write(&target.join("x"), "1");
    for round in ["1", "2"] {
        symlink("target", &place).unwrap();
        view.check("a link").await;
        write(&place.join("x"), format!("through the link {round}"));
        view.check("writing through it").await;
        fs::remove_file(&place).unwrap();
        fs::create_dir(&place).unwrap();
        write(&place.join("x"), round);
        view.check("a directory").await;
        write(&place.join("x"), "other");
        view.check("writing in it").await;
        fs::remove_dir_all(&place).unwrap();
    }
    view.stop().await;
}

pub async fn two_directories_change_places(mut view: View) {
    let (a, b, spare) = (view.root().join("a"), view.root().join("b"), view.outside().join("c"));
    for (dir, text) in [(&a, "1"), (&b, "2")] {
        fs::create_dir_all(dir.join("sub")).unwrap();
        write(&dir.join("sub/x"), text);
    }
    view.check("creating").await;
    for round in ["1", "2", "3"] {
        exchange(&a, &b, &spare);
        view.check("exchanging").await;
        write(&a.join("sub/x"), format!("a{round}"));
        view.check("writing in one").await;
        write(&b.join("sub/x"), format!("b{round}"));
        view.check("writing in the other").await;
    }
    view.stop().await;
}

/// More than a queue or a batch may hold.
pub async fn many_directories_go_and_come(mut view: View) {
    for round in ["1", "2"] {
        for i in 0..1000 {
            let dir = view.root().join(format!("d/{}/{i}", i % 30));
            fs::create_dir_all(&dir).unwrap();
            write(&dir.join("x"), round);
        }
        view.check("making a thousand").await;
        fs::remove_dir_all(view.root().join("d")).unwrap();
        if round == "1" {
            view.check("removing them").await;
        }
    }
    fs::create_dir_all(view.root().join("d/1/1")).unwrap();
    view.check("one comes again").await;
    write(&view.root().join("d/1/1/x"), "3");
    view.check("writing in it").await;
    view.stop().await;
}
