//! What is in use is looked at beside the passes, and whatever becomes of its mount concerns nobody else.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hotloader_test_support::{DEADLINE, mounts::Mount};
use rustix::io::Errno;

use crate::{
    Watched,
    lying::{File, Lying},
};

/// Passes are a day apart once nothing has changed for a while, and never come soon.
const SELDOM: [(&str, &str); 3] = [("interval", "20ms"), ("idle_interval", "24h"), ("max_cpu", "0.001")];

/// Waits until the server of the mount was asked about a file so often.
async fn asked(lying: &Lying, times: u64) {
    let (begun, before) = (Instant::now(), lying.says().asked);
    while lying.says().asked < before + times {
        assert!(begun.elapsed() < DEADLINE, "it is not looked at");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn it_is_seen_although_the_next_pass_is_far_away() {
    let keep = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(keep.path()).unwrap();
    let [used, other] = ["used", "other"].map(|name| root.join(name));
    fs::create_dir(&used).unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(used.join("x"), "1").unwrap();
    // Too many to be looked at again just because something changed. Of a processor a thousandth is allowed, so it
    // rests for long after it has listed them.
    (0..20_000).for_each(|file| fs::write(other.join(file.to_string()), "1").unwrap());
    let dirs = [root.as_path(), &used, &other];
    let (mut watched, _) = Watched::with(&dirs, &SELDOM).await;
    watched.in_use(1, &dirs, &[used.join("x")]);
    // Until it has been seen for the first time, nothing differs.
    let mut text = "1".to_owned();
    let first = async {
        loop {
            text += "1";
            fs::write(used.join("x"), &text).unwrap();
            let told = tokio::time::timeout(Duration::from_millis(100), watched.stream.next()).await;
            if told.is_ok_and(|told| told.unwrap().hints.covers(&used.join("x"))) {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, first).await.unwrap();
    for text in ["22", "333", "4444"] {
        // Longer than from one look to the next: what was saved before is not hinted again meanwhile.
        tokio::time::sleep(Duration::from_millis(30)).await;
        fs::write(used.join("x"), text).unwrap();
        watched.hinted(&used.join("x")).await;
    }
    assert_eq!(watched.handle.vitals().passes, 0, "nothing else was looked at meanwhile");
    assert!(watched.handle.vitals().detail.contains("1 in use"), "{:?}", watched.handle.vitals());
}

#[tokio::test]
async fn f3_a_save_behind_a_mount_that_is_remembered_for_a_minute_is_seen_within_two_intervals() {
    const INTERVAL: Duration = Duration::from_secs(1);
    let Some(mut mount) = Mount::bindfs() else { return };
    mount.unmount();
    mount.kill();
    assert!(mount.mount_bindfs("attr_timeout=60,entry_timeout=60"));
    let (front, back) = (mount.front(), mount.back());
    fs::write(back.join("y"), "1").unwrap();
    fs::write(back.join("z"), "1").unwrap();
    let options = [("interval", "1s"), ("idle_interval", "24h"), ("max_cpu", "0.5")];
    let (mut watched, _) = Watched::with(&[&front], &options).await;
    watched.in_use(1, &[&front], &["x", "y", "z"].map(|name| front.join(name)));
    // Until the three files and their directory are seen, and remembered by the kernel: each look asks four times.
    let (begun, before) = (Instant::now(), watched.handle.vitals().requests);
    while watched.handle.vitals().requests < before + 8 {
        assert!(begun.elapsed() < DEADLINE, "they are not looked at");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Each has not changed before: what has is hinted again for caution.
    for (name, is_in_place) in [("x", true), ("y", false), ("z", true)] {
        // Somewhere between two looks, not always right after one.
        tokio::time::sleep(INTERVAL / 3).await;
        let file = if is_in_place { name } else { "temporary" };
        fs::write(back.join(file), "another").unwrap();
        if !is_in_place {
            fs::rename(back.join(file), back.join(name)).unwrap();
        }
        let saved = Instant::now();
        watched.hinted(&front.join(name)).await;
        assert!(saved.elapsed() < 2 * INTERVAL, "{name}: {:?}", saved.elapsed());
    }
}

#[tokio::test]
async fn p7_it_is_seen_while_a_pass_hangs_in_the_middle() {
    let Some(lying) = Lying::new() else { return };
    let (dir, x) = (lying.dir(), lying.dir().join("x"));
    let old = Duration::new(1_000_000_000, 5);
    lying.says().files.insert("y", File { content: "one", size: 3, mtime: old, ino: 8 });
    let (mut watched, _) = Watched::with(&[&dir], &[("interval", "20ms"), ("idle_interval", "20ms")]).await;
    watched.in_use(1, &[&dir], std::slice::from_ref(&x));
    watched.forget().await;
    lying.says().hangs = Some(8);
    let proof = tokio::spawn(watched.handle.barrier());
    let (_, armed) = watched.armed(|armed| !armed.skipped.is_empty()).await;
    assert!(armed.skipped[0].reason.contains("does not answer"), "{armed:?}");
    for size in 4..8 {
        lying.x(|x| x.size = size);
        watched.hinted(&x).await;
    }
    assert!(!proof.is_finished(), "nothing is proved while it hangs");
    lying.says().hangs = None;
    proof.await.unwrap().unwrap();
}

#[tokio::test]
async fn p7_one_that_hangs_in_the_middle_of_a_look_keeps_no_save_elsewhere_waiting() {
    let Some(lying) = Lying::new() else { return };
    let keep = tempfile::tempdir().unwrap();
    let here = fs::canonicalize(keep.path()).unwrap();
    let (dir, x, y, link) = (lying.dir(), lying.dir().join("x"), here.join("y"), here.join("link"));
    fs::write(&y, "1").unwrap();
    std::os::unix::fs::symlink(&x, &link).unwrap();
    let dirs = [dir.as_path(), &here];
    let (mut watched, _) = Watched::with(&dirs, &[("interval", "20ms"), ("idle_interval", "20ms")]).await;
    // The link leads into the mount, and is itself beside `y`.
    watched.in_use(1, &dirs, &[x.clone(), y.clone(), link.clone()]);
    watched.forget().await;
    lying.says().hangs = Some(7);
    asked(&lying, 1).await;
    for text in ["22", "333", "4444"] {
        fs::write(&y, text).unwrap();
        let written = Instant::now();
        watched.hinted(&y).await;
        assert!(written.elapsed() < Duration::from_millis(1500), "{:?}", written.elapsed());
    }
    lying.says().hangs = None;
    lying.x(|x| x.size = 4);
    watched.hinted(&x).await;
}

#[tokio::test]
async fn f5_p8_one_that_answers_with_an_error_is_not_gone_and_is_seen_when_it_answers() {
    let Some(lying) = Lying::new() else { return };
    let (dir, x) = (lying.dir(), lying.dir().join("x"));
    let (mut watched, _) = Watched::with(&[&dir], &SELDOM).await;
    watched.in_use(1, &[&dir], std::slice::from_ref(&x));
    asked(&lying, 10).await;
    watched.stream.take();
    for (error, size) in [Errno::STALE, Errno::IO, Errno::NOTCONN, Errno::ACCESS, Errno::PERM].iter().zip(4..)
    {
        lying.says().file_error = Some(error.raw_os_error());
        asked(&lying, 6).await;
        let told = watched.stream.take().map(|collected| collected.hints);
        assert!(told.is_none_or(|told| !told.covers(&x)), "{error}");
        lying.x(|x| x.size = size);
        lying.says().file_error = None;
        watched.hinted(&x).await;
    }
}

#[tokio::test]
async fn p2_one_whose_clock_is_an_hour_off_is_seen_once_for_each_save() {
    let Some(lying) = Lying::new() else { return };
    let (dir, x) = (lying.dir(), lying.dir().join("x"));
    let (mut watched, _) = Watched::with(&[&dir], &SELDOM).await;
    watched.in_use(1, &[&dir], std::slice::from_ref(&x));
    asked(&lying, 10).await;
    watched.stream.take();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let hour = Duration::from_secs(3600);
    for mtime in [now + hour, now + hour + Duration::from_millis(40), now - hour, now] {
        lying.x(|x| x.mtime = mtime);
        watched.hinted(&x).await;
    }
    asked(&lying, 6).await;
    watched.stream.take();
    asked(&lying, 20).await;
    let told = watched.stream.take().map(|collected| collected.hints);
    assert!(told.is_none_or(|told| !told.covers(&x)), "it has not changed since");
}

#[tokio::test]
async fn many_are_asked_at_once_where_each_answer_takes_long() {
    const NAMES: [&str; 24] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t",
        "u", "v", "w", "y",
    ];
    let Some(lying) = Lying::new() else { return };
    let dir = lying.dir();
    let old = Duration::new(1_000_000_000, 5);
    for (name, ino) in NAMES.into_iter().zip(10..) {
        lying.says().files.insert(name, File { content: "one", size: 3, mtime: old, ino });
    }
    let options = [("interval", "20ms"), ("idle_interval", "20ms"), ("max_cpu", "1")];
    let (mut watched, _) = Watched::with(&[&dir], &options).await;
    let files: Vec<PathBuf> = NAMES.iter().map(|name| dir.join(name)).collect();
    watched.in_use(1, &[&dir], &files);
    lying.says().delay = Duration::from_millis(5);
    let begun = Instant::now();
    while !watched.handle.vitals().detail.contains("for an answer") {
        assert!(begun.elapsed() < DEADLINE, "{:?}", watched.handle.vitals());
        watched.barrier().await;
    }
    lying.says().files.get_mut("w").unwrap().size = 4;
    watched.hinted(&dir.join("w")).await;
    let detail = watched.handle.vitals().detail;
    assert!(detail.contains("for what is in use"), "{detail}");
    watched.handle.stop().await;
}
