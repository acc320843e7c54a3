//! Files and directories that are edited, made, moved and removed.

use std::io::Write as _;

use super::*;

#[tokio::test]
async fn edits_atomic_saves_and_recreation_are_each_reported_by_content() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "0")).await;
    let file = site.root.join("x.lua");
    site.check(&[("x.lua", "0")]).await;
    write(&file, "1");
    site.check(&[("x.lua", "1")]).await;
    for save in ["2", "3"] {
        write(&site.root.join("x.lua.tmp"), save);
        fs::rename(site.root.join("x.lua.tmp"), &file).unwrap();
        site.check(&[("x.lua", save)]).await;
    }
    fs::remove_file(&file).unwrap();
    site.check(&[("x.lua", "3")]).await;
    write(&file, "4");
    site.check(&[("x.lua", "4")]).await;
    fs::remove_file(&file).unwrap();
    site.wait_for(&[]).await;
    write(&file, "5");
    site.check(&[("x.lua", "5")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_touch_or_an_equal_content_is_no_change() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "same")).await;
    let file = site.root.join("x.lua");
    fs::File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!(site.sync().await.is_empty());
    write(&file, "same");
    write(&site.root.join("y.tmp"), "same");
    fs::rename(site.root.join("y.tmp"), &file).unwrap();
    assert!(site.sync().await.is_empty());
    site.stop().await;
}

#[tokio::test]
async fn names_that_do_not_belong_are_never_reported() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "")).await;
    write(&site.root.join(".#x.lua"), "1");
    write(&site.root.join("note.txt"), "1");
    write(&site.root.join("node_modules/y.lua"), "1");
    write(&site.base.join("other.lua"), "1");
    assert!(site.sync().await.is_empty());
    site.stop().await;
}

#[tokio::test]
async fn new_directories_are_followed_however_fast_they_come() {
    let mut site = Site::with(|base| fs::create_dir(base.join("lua")).unwrap()).await;
    let mut expected = BTreeMap::new();
    for i in 0..40 {
        write(&site.root.join(format!("{i}/b/c/x.lua")), &i.to_string());
        expected.insert(format!("{i}/b/c/x.lua"), i.to_string());
        if i % 8 == 0 {
            site.sync().await;
            assert_eq!(site.known, expected);
            write(&site.root.join(format!("{i}/b/c/x.lua")), "again");
            expected.insert(format!("{i}/b/c/x.lua"), "again".into());
        }
    }
    site.sync().await;
    assert_eq!(site.known, expected);
    site.stop().await;
}

#[tokio::test]
async fn directories_move_in_and_out_with_all_that_is_in_them() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "x")).await;
    write(&site.base.join("away/sub/y.lua"), "1");
    fs::rename(site.base.join("away"), site.root.join("here")).unwrap();
    site.check(&[("here/sub/y.lua", "1"), ("x.lua", "x")]).await;
    write(&site.root.join("here/sub/y.lua"), "2");
    site.check(&[("here/sub/y.lua", "2"), ("x.lua", "x")]).await;
    fs::rename(site.root.join("here"), site.root.join("there")).unwrap();
    site.wait_for(&[("there/sub/y.lua", "2"), ("x.lua", "x")]).await;
    write(&site.root.join("there/sub/y.lua"), "3");
    site.check(&[("there/sub/y.lua", "3"), ("x.lua", "x")]).await;
    fs::rename(site.root.join("there"), site.base.join("away")).unwrap();
    site.wait_for(&[("x.lua", "x")]).await;
    site.stop().await;
}

#[tokio::test]
async fn the_root_may_go_and_come_and_its_parent_be_replaced() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "1")).await;
    for round in ["2", "3"] {
        fs::remove_dir_all(&site.root).unwrap();
        site.wait_for(&[]).await;
        write(&site.root.join("x.lua"), round);
        site.check(&[("x.lua", round)]).await;
    }
    fs::rename(&site.root, site.base.join("old")).unwrap();
    write(&site.root.join("x.lua"), "4");
    site.check(&[("x.lua", "4")]).await;
    write(&site.root.join("x.lua"), "5");
    site.check(&[("x.lua", "5")]).await;
    site.stop().await;
}

#[tokio::test]
async fn an_emptied_file_is_not_believed_at_once() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "1")).await;
    let file = site.root.join("x.lua");
    write(&file, "");
    assert!(site.sync().await.is_empty());
    write(&file, "2");
    site.check(&[("x.lua", "2")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_file_that_is_open_for_writing_is_not_taken_until_it_is_closed_and_holds_up_no_other() {
    let mut site = Site::with(|base| {
        write(&base.join("lua/x.lua"), "one two");
        write(&base.join("lua/y.lua"), "1");
    })
    .await;
    let mut writer = fs::File::create(site.root.join("x.lua")).unwrap();
    for part in ["three ", "four"] {
        assert!(site.sync().await.is_empty());
        writer.write_all(part.as_bytes()).unwrap();
    }
    let mut health = site.handle.follow_health();
    let told = health.wait_for(|health| health.unfinished == [site.root.join("x.lua")]);
    timeout(DEADLINE, told).await.unwrap().unwrap();
    write(&site.root.join("y.lua"), "2");
    site.check(&[("x.lua", "one two"), ("y.lua", "2")]).await;
    drop(writer);
    site.check(&[("x.lua", "three four"), ("y.lua", "2")]).await;
    timeout(DEADLINE, health.wait_for(|health| health.unfinished.is_empty())).await.unwrap().unwrap();
    site.stop().await;
}

#[tokio::test]
async fn a_log_that_is_written_all_the_time_holds_up_no_save_beside_it() {
    let settings = WatchConfig { quiet: Duration::from_millis(200), max_hold: 6 * DEADLINE, ..settings() };
    let mut site = Site::with_settings(&settings, |base| write(&base.join("lua/x.lua"), "1")).await;
    let (log, journal) = (site.root.join("x.log"), site.root.join("x.db-journal"));
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        while is_done.recv_timeout(Duration::from_millis(10))
            == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            write(&log, "a line");
            write(&journal, "");
            fs::remove_file(&journal).unwrap();
        }
    });
    write(&site.root.join("x.lua"), "2");
    site.wait_for(&[("x.lua", "2")]).await;
    drop(done);
    writer.join().unwrap();
    // What takes the name of such a file may lead to others.
    fs::remove_file(site.root.join("x.log")).unwrap();
    write(&site.root.join("x.log/deep.lua"), "3");
    site.check(&[("x.lua", "2"), ("x.log/deep.lua", "3")]).await;
    site.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_stays_as_it_was_and_is_looked_at_again() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "1")).await;
    // A regular file by its kind, of which the first page cannot be read: EIO, even for root.
    relink("/proc/self/mem", &site.root.join("x.lua"));
    write(&site.root.join("y.lua"), "y");
    site.check(&[("x.lua", "1"), ("y.lua", "y")]).await;
    fs::remove_file(site.root.join("x.lua")).unwrap();
    write(&site.root.join("x.lua"), "2");
    site.check(&[("x.lua", "2"), ("y.lua", "y")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_pipe_under_a_wanted_name_harms_nobody() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "1")).await;
    let pipe = site.root.join("pipe.lua");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    symlink("/dev/zero", site.root.join("zero.lua")).unwrap();
    write(&site.root.join("x.lua"), "2");
    site.check(&[("x.lua", "2")]).await;
    fs::remove_file(&pipe).unwrap();
    write(&pipe, "a file now");
    site.check(&[("pipe.lua", "a file now"), ("x.lua", "2")]).await;
    site.stop().await;
}
