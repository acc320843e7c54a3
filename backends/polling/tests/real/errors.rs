//! Errors, and answers that do not come.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::io::Errno;

use crate::{Watched, is_lost, lying::Lying, skipped};

const ERRORS: [Errno; 5] = [Errno::STALE, Errno::IO, Errno::NOTCONN, Errno::TIMEDOUT, Errno::ACCESS];

#[tokio::test]
async fn f5_p8_a_file_that_does_not_answer_is_not_gone_and_is_looked_at_when_it_does() {
    let Some(lying) = Lying::new() else { return };
    let mut watched = Watched::new(&[&lying.dir()]).await;
    watched.forget().await;
    for error in ERRORS {
        lying.says().file_error = Some(error.raw_os_error());
        assert!(watched.barrier().await.is_none(), "{error}");
        assert!(watched.barrier().await.is_none(), "{error}");
        lying.says().file_error = None;
        let back = watched.barrier().await.unwrap();
        assert!(is_lost(&back, &lying.dir().join("x")), "{error}: {:?}", back.lost);
    }
}

#[tokio::test]
async fn f5_p8_x1_x2_a_directory_that_does_not_answer_is_skipped_until_it_does() {
    let Some(lying) = Lying::new() else { return };
    let dir = lying.dir();
    let mut watched = Watched::new(&[&dir]).await;
    watched.forget().await;
    for error in ERRORS {
        lying.says().dir_error = Some(error.raw_os_error());
        let away = watched.barrier().await.unwrap();
        // To close a directory is to change it; nothing else is.
        assert_eq!(away.hints.covers(&dir), error == Errno::ACCESS, "{error}");
        assert_eq!(skipped(&away.armed.unwrap()), std::slice::from_ref(&dir));
        assert!(watched.barrier().await.is_none(), "{error}: told once");
        lying.says().dir_error = None;
        let back = watched.barrier().await.unwrap();
        assert!(is_lost(&back, &dir), "{error}: {:?}", back.lost);
        assert_eq!(back.armed.unwrap().skipped, []);
    }
}

#[tokio::test]
async fn p7_a_lookup_of_three_seconds_delays_only_what_is_beside_it() {
    let Some(lying) = Lying::new() else { return };
    let here = tempfile::tempdir().unwrap();
    let here = std::fs::canonicalize(here.path()).unwrap();
    let dir = lying.dir();
    let mut watched = Watched::new(&[&dir, &here]).await;
    watched.forget().await;
    lying.says().delay = Duration::from_secs(3);
    lying.x(|x| x.size = 4);
    std::fs::write(here.join("y"), "1").unwrap();
    let start = Instant::now();
    let barrier = tokio::spawn(watched.handle.barrier());
    watched.hinted(&here.join("y")).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    watched.hinted(&dir.join("x")).await;
    lying.says().delay = Duration::ZERO;
    barrier.await.unwrap().unwrap();
}

#[tokio::test]
async fn n9_a_path_that_is_too_long_is_skipped_and_ends_nothing() {
    let here = tempfile::tempdir().unwrap();
    let here = std::fs::canonicalize(here.path()).unwrap();
    let long: PathBuf = here.join(format!("{}/", "x".repeat(200)).repeat(30));
    let (mut watched, armed) = Watched::with(&[&here, &long], &[("interval", "1h")]).await;
    assert_eq!(skipped(&armed), [long]);
    std::fs::write(here.join("y"), "1").unwrap();
    assert!(watched.barrier().await.unwrap().hints.covers(&here.join("y")));
}

#[tokio::test]
async fn n1_n2_n7_odd_files_and_names_are_seen_like_others() {
    let keep = tempfile::tempdir().unwrap();
    let here = std::fs::canonicalize(keep.path()).unwrap();
    let mut watched = Watched::with(&[&here], &[("interval", "1h"), ("verify", "content")]).await.0;
    let fifo = here.join("fifo.lua");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(here.join("socket.lua")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", here.join("zero.lua")).unwrap();
    let strange = here.join(Path::new(std::ffi::OsStr::from_bytes(b"\xff\n.lua")));
    std::fs::write(&strange, "1").unwrap();
    let hints = watched.barrier().await.unwrap().hints;
    for path in [fifo, here.join("socket.lua"), here.join("zero.lua"), strange] {
        assert!(hints.covers(&path), "{}", path.display());
    }
}
