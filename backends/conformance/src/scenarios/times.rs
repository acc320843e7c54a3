//! Time stamps. Kernel events don't care; whoever compares stamps must.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    View,
    tools::{set_exact_time, set_time, write},
};

/// As fast as they come, of the same size.
pub async fn p1_two_edits_within_a_second(mut view: View) {
    let file = view.root().join("x");
    for save in 0..200 {
        write(&file, format!("{save:03}"));
        view.check("an edit").await;
    }
    for save in 0..50 {
        write(&file, format!("{save:03}"));
        view.follow().await;
        write(&file, format!("{save:03}+"));
        view.check("an edit just behind a look").await;
    }
    view.stop().await;
}

/// A file of an older release is moved in.
pub async fn p2_time_goes_back(mut view: View) {
    let (file, old) = (view.root().join("x"), view.outside().join("old"));
    for (save, year) in [("1", 2020), ("2", 2010), ("3", 2001), ("4", 1971)] {
        write(&old, save);
        set_time(&old, (year - 1970) * 31_556_952);
        fs::rename(&old, &file).unwrap();
        view.check(save).await;
    }
    write(&file, "now");
    view.check("now").await;
    set_time(&file, 0);
    view.check("at the beginning of time").await;
    view.stop().await;
}

pub async fn p3_same_size_and_time(mut view: View) {
    let (file, new) = (view.root().join("x"), view.root().join("new"));
    let time = UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    write(&file, "0");
    set_exact_time(&file, time);
    view.rest().await;
    for save in ["1", "2", "3"] {
        write(&file, save);
        set_exact_time(&file, time);
        view.check("in place").await;
        write(&new, format!("{}", save.len() + 4));
        set_exact_time(&new, time);
        fs::rename(&new, &file).unwrap();
        view.check("by rename").await;
    }
    view.rest().await;
    write(&file, "9");
    set_exact_time(&file, time);
    view.check("long after").await;
    view.stop().await;
}

/// Whoever waits for a time to be over waits for years.
pub async fn p5_times_in_the_future(mut view: View) {
    let file = view.root().join("x");
    for (save, ahead) in [("1", 3600), ("2", 86_400 * 365 * 20), ("3", 60), ("4", 0)] {
        write(&file, save);
        set_exact_time(&file, SystemTime::now() + Duration::from_secs(ahead));
        view.check(save).await;
    }
    write(&file, "5");
    view.check("the last").await;
    view.stop().await;
}

/// `cp -p`, `touch -r`: another content with the time of the one before.
pub async fn e9_copied_with_its_time(mut view: View) {
    let (file, other) = (view.root().join("x"), view.outside().join("other"));
    write(&file, "1");
    view.check("creating").await;
    for save in ["2", "3", "longer"] {
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        write(&other, save);
        fs::copy(&other, &file).unwrap();
        set_exact_time(&file, time);
        view.check(save).await;
    }
    view.stop().await;
}

/// As in a store that sets each to the first second.
pub async fn s20_all_times_are_the_same(mut view: View) {
    let (place, store) = (view.root().join("current"), view.outside());
    for version in ["1", "2", "3"] {
        let dir = store.join(version);
        fs::create_dir(&dir).unwrap();
        write(&dir.join("x"), version);
        set_time(&dir.join("x"), 1);
        set_time(&dir, 1);
        if place.exists() {
            fs::rename(&place, store.join(format!("old{version}"))).unwrap();
        }
        fs::rename(&dir, &place).unwrap();
        view.check("another version").await;
    }
    view.stop().await;
}
