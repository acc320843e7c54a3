//! Rows of the list of ways in which links go wrong, each through a real backend.

use std::io::Write as _;

use super::*;

/// A site whose changes are seen by that backend.
async fn site(backend: &str, prepare: impl FnOnce(&Path)) -> Site {
    let mut settings = WatchConfig { backend: backend.into(), ..settings() };
    settings.options_mut("polling").insert("interval".into(), "20ms".into());
    Site::with_settings(&settings, prepare).await
}

macro_rules! rows {
    ($($row:ident)*) => {
        mod by_notify {
            $(#[tokio::test]
            async fn $row() {
                super::$row("notify").await;
            })*
        }

        /// As `auto` has it.
        mod by_kernel {
            $(#[tokio::test]
            async fn $row() {
                super::$row(crate::watch::KERNEL).await;
            })*
        }

        mod by_polling {
            $(#[tokio::test]
            async fn $row() {
                super::$row("polling").await;
            })*
        }
    };
}

rows! {
    s1_the_target_of_a_link_is_edited
    s2_the_target_of_a_linked_directory_is_edited
    s3_a_link_is_made_while_it_runs
    s4_a_link_is_retargeted_in_two_ways
    s5_the_old_target_is_not_listened_to
    s6_the_middle_of_a_chain_is_retargeted
    s7_a_link_among_the_directories_of_a_path_is_retargeted
    s8_a_config_map_flips_in_one_change_set_whatever_the_order_of_events
    s9_a_dangling_link_becomes_valid
    s10_cycles_end
    s11_the_target_directory_is_deleted_and_made_again
    s12_a_plain_directory_on_the_way_is_replaced
    s13_two_links_lead_to_one_target
    s15_dots_after_a_link_are_the_parent_of_its_target
    s16_a_link_and_a_real_directory_take_each_others_place
    s17_a_link_to_a_device_is_not_read
    s18_the_target_is_on_another_file_system
    s20_every_version_has_the_same_old_time
    s21_a_relative_link_starts_where_it_stands
    e3_an_atomic_save_turns_a_link_into_a_file
    e12_two_files_change_places
    d6_a_file_becomes_a_directory_and_back
    r5_the_root_is_a_link_and_is_retargeted
    a_farm_of_links_is_followed
    what_is_written_line_by_line_is_taken_when_it_is_closed
}

async fn what_is_written_line_by_line_is_taken_when_it_is_closed(backend: &str) {
    let mut site = site(backend, |base| write(&base.join("lua/x.lua"), "old")).await;
    // It never gets shorter than it was.
    let mut writer = fs::File::options().write(true).open(site.root.join("x.lua")).unwrap();
    for _ in 0..5 {
        writer.write_all(b"line\n").unwrap();
        assert!(site.sync().await.is_empty());
    }
    drop(writer);
    site.wait_for(&[("x.lua", &"line\n".repeat(5))]).await;
    site.stop().await;
}

async fn s1_the_target_of_a_link_is_edited(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/a"), "1");
        link("../ext/a", &base.join("lua/x.lua"));
    })
    .await;
    let target = site.base.join("ext/a");
    write(&target, "in place");
    site.check(&[("x.lua", "in place")]).await;
    write(&site.base.join("ext/new"), "replaced");
    fs::rename(site.base.join("ext/new"), &target).unwrap();
    site.check(&[("x.lua", "replaced")]).await;
    site.stop().await;
}

async fn s2_the_target_of_a_linked_directory_is_edited(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/d/a.lua"), "1");
        link("../ext/d", &base.join("lua/d"));
    })
    .await;
    write(&site.base.join("ext/d/a.lua"), "2");
    write(&site.base.join("ext/d/deep/b.lua"), "new");
    site.check(&[("d/a.lua", "2"), ("d/deep/b.lua", "new")]).await;
    write(&site.base.join("ext/d/deep/b.lua"), "edited");
    site.check(&[("d/a.lua", "2"), ("d/deep/b.lua", "edited")]).await;
    site.stop().await;
}

async fn s3_a_link_is_made_while_it_runs(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/d/a.lua"), "1");
        fs::create_dir(base.join("lua")).unwrap();
    })
    .await;
    link(site.base.join("ext/d/a.lua").to_str().unwrap(), &site.root.join("x.lua"));
    link("../ext/d", &site.root.join("d"));
    site.check(&[("d/a.lua", "1"), ("x.lua", "1")]).await;
    write(&site.base.join("ext/d/a.lua"), "2");
    site.check(&[("d/a.lua", "2"), ("x.lua", "2")]).await;
    site.stop().await;
}

async fn s4_a_link_is_retargeted_in_two_ways(backend: &str) {
    let mut site = site(backend, |base| {
        ["1", "2", "3"].iter().for_each(|version| write(&base.join("ext").join(version), version));
        link("../ext/1", &base.join("lua/x.lua"));
    })
    .await;
    let x = site.root.join("x.lua");
    relink("../ext/2", &x);
    site.check(&[("x.lua", "2")]).await;
    fs::remove_file(&x).unwrap();
    // The gap is seen, and not believed.
    site.check(&[("x.lua", "2")]).await;
    symlink("../ext/3", &x).unwrap();
    site.check(&[("x.lua", "3")]).await;
    site.stop().await;
}

async fn s5_the_old_target_is_not_listened_to(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("one/d/a.lua"), "1");
        write(&base.join("two/d/a.lua"), "2");
        link("../one/d", &base.join("lua/d"));
    })
    .await;
    relink("../two/d", &site.root.join("d"));
    site.check(&[("d/a.lua", "2")]).await;
    write(&site.base.join("one/d/a.lua"), "stale");
    assert!(site.sync().await.is_empty());
    write(&site.base.join("two/d/a.lua"), "3");
    site.check(&[("d/a.lua", "3")]).await;
    let one = site.base.join("one");
    assert!(site.handle.links().watched_dirs.iter().all(|dir| !dir.starts_with(&one)));
    site.stop().await;
}

async fn s6_the_middle_of_a_chain_is_retargeted(backend: &str) {
    let mut site = site(backend, |base| {
        ["1", "2"].iter().for_each(|version| write(&base.join("ext").join(version), version));
        link("../ext/1", &base.join("m/mid"));
        link("../m/mid", &base.join("lua/x.lua"));
    })
    .await;
    relink("../ext/2", &site.base.join("m/mid"));
    site.check(&[("x.lua", "2")]).await;
    assert!(site.handle.links().watched_dirs.contains(&site.base.join("m")));
    site.stop().await;
}

async fn s7_a_link_among_the_directories_of_a_path_is_retargeted(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/r1/lib/x.lua"), "1");
        write(&base.join("ext/r2/lib/x.lua"), "2");
        link("r1", &base.join("ext/current"));
        link("../ext/current/lib/x.lua", &base.join("lua/x.lua"));
        link("../ext/current/lib", &base.join("lua/lib"));
    })
    .await;
    relink("r2", &site.base.join("ext/current"));
    site.check(&[("lib/x.lua", "2"), ("x.lua", "2")]).await;
    write(&site.base.join("ext/r2/lib/x.lua"), "3");
    site.check(&[("lib/x.lua", "3"), ("x.lua", "3")]).await;
    site.stop().await;
}

async fn s8_a_config_map_flips_in_one_change_set_whatever_the_order_of_events(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("lua/..1/same.lua"), "same");
        write(&base.join("lua/..1/x.lua"), "1");
        write(&base.join("lua/..1/y.lua"), "1");
        link("..1", &base.join("lua/..data"));
        ["same", "x", "y"]
            .iter()
            .for_each(|name| link(&format!("..data/{name}.lua"), &base.join(format!("lua/{name}.lua"))));
    })
    .await;
    for version in [2, 3] {
        let dir = site.root.join(format!("..{version}"));
        write(&dir.join("same.lua"), "same");
        write(&dir.join("x.lua"), &version.to_string());
        write(&dir.join("y.lua"), &version.to_string());
        if version == 3 {
            // The new directory is seen before the flip, in a look of its own.
            assert!(site.sync().await.is_empty());
        }
        symlink(format!("..{version}"), site.root.join("..data_tmp")).unwrap();
        fs::rename(site.root.join("..data_tmp"), site.root.join("..data")).unwrap();
        fs::remove_dir_all(site.root.join(format!("..{}", version - 1))).unwrap();
        let sets = site.sync().await;
        assert_eq!(sets.len(), 1);
        let names: Vec<_> = sets[0].changes.iter().map(|change| change.name.to_str().unwrap()).collect();
        assert_eq!(names, ["x.lua", "y.lua"], "what is the same is not told");
    }
    site.check(&[("same.lua", "same"), ("x.lua", "3"), ("y.lua", "3")]).await;
    write(&site.root.join("..3/same.lua"), "edited");
    site.check(&[("same.lua", "edited"), ("x.lua", "3"), ("y.lua", "3")]).await;
    site.stop().await;
}

async fn s9_a_dangling_link_becomes_valid(backend: &str) {
    let mut site = site(backend, |base| {
        link("../ext/late/x", &base.join("lua/x.lua"));
        link("../ext/dir", &base.join("lua/d"));
    })
    .await;
    site.check(&[]).await;
    write(&site.base.join("ext/late/x"), "here");
    write(&site.base.join("ext/dir/a.lua"), "there");
    site.check(&[("d/a.lua", "there"), ("x.lua", "here")]).await;
    fs::remove_dir_all(site.base.join("ext")).unwrap();
    site.wait_for(&[]).await;
    write(&site.base.join("ext/late/x"), "again");
    site.check(&[("x.lua", "again")]).await;
    site.stop().await;
}

async fn s10_cycles_end(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("lua/s/x.lua"), "1");
        link(".", &base.join("lua/self"));
        link("..", &base.join("lua/s/up"));
        link("b", &base.join("lua/a"));
        link("a", &base.join("lua/b"));
        link("/", &base.join("lua/everything"));
    })
    .await;
    site.check(&[("s/x.lua", "1")]).await;
    write(&site.root.join("s/x.lua"), "2");
    site.check(&[("s/x.lua", "2")]).await;
    // One that is opened leads somewhere.
    write(&site.base.join("ext/y.lua"), "y");
    relink("../ext", &site.root.join("a"));
    site.check(&[("a/y.lua", "y"), ("b/y.lua", "y"), ("s/x.lua", "2")]).await;
    site.stop().await;
}

async fn s11_the_target_directory_is_deleted_and_made_again(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/d/x.lua"), "0");
        link("../ext/d", &base.join("lua/d"));
    })
    .await;
    for round in ["1", "2"] {
        fs::remove_dir_all(site.base.join("ext/d")).unwrap();
        write(&site.base.join("ext/d/x.lua"), round);
        site.check(&[("d/x.lua", round)]).await;
        let later = format!("{round} later");
        write(&site.base.join("ext/d/x.lua"), &later);
        site.check(&[("d/x.lua", &later)]).await;
    }
    site.stop().await;
}

async fn s12_a_plain_directory_on_the_way_is_replaced(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/d/a.lua"), "1");
        link("../ext/d", &base.join("lua/d"));
    })
    .await;
    fs::rename(site.base.join("ext"), site.base.join("ext.old")).unwrap();
    write(&site.base.join("ext/d/a.lua"), "2");
    site.check(&[("d/a.lua", "2")]).await;
    write(&site.base.join("ext.old/d/a.lua"), "stale");
    assert!(site.sync().await.is_empty());
    site.stop().await;
}

async fn s13_two_links_lead_to_one_target(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/d/a.lua"), "1");
        ["l1", "l2"].iter().for_each(|name| link("../ext/d", &base.join("lua").join(name)));
    })
    .await;
    write(&site.base.join("ext/d/a.lua"), "2");
    let sets = site.sync().await;
    assert_eq!((sets.len(), sets[0].changes.len()), (1, 2), "each name once");
    fs::remove_file(site.root.join("l1")).unwrap();
    site.wait_for(&[("l2/a.lua", "2")]).await;
    write(&site.base.join("ext/d/a.lua"), "3");
    site.check(&[("l2/a.lua", "3")]).await;
    site.stop().await;
}

async fn s15_dots_after_a_link_are_the_parent_of_its_target(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/deep/x"), "right");
        write(&base.join("lua/x"), "wrong");
        fs::create_dir(base.join("ext/deep/er")).unwrap();
        link("../ext/deep/er", &base.join("lua/er"));
        link("er/../x", &base.join("lua/x.lua"));
    })
    .await;
    site.check(&[("x.lua", "right")]).await;
    write(&site.base.join("ext/deep/x"), "edited");
    site.check(&[("x.lua", "edited")]).await;
    site.stop().await;
}

async fn s16_a_link_and_a_real_directory_take_each_others_place(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("app/d/a.lua"), "1");
        link("../app/d", &base.join("lua/d"));
    })
    .await;
    // `stow` of a second package unfolds the link into a directory of links.
    fs::remove_file(site.root.join("d")).unwrap();
    link("../../app/d/a.lua", &site.root.join("d/a.lua"));
    write(&site.base.join("app2/b.lua"), "b");
    link("../../app2/b.lua", &site.root.join("d/b.lua"));
    site.check(&[("d/a.lua", "1"), ("d/b.lua", "b")]).await;
    write(&site.base.join("app/d/a.lua"), "2");
    site.check(&[("d/a.lua", "2"), ("d/b.lua", "b")]).await;
    fs::remove_dir_all(site.root.join("d")).unwrap();
    symlink("../app/d", site.root.join("d")).unwrap();
    site.wait_for(&[("d/a.lua", "2")]).await;
    write(&site.base.join("app/d/a.lua"), "3");
    site.check(&[("d/a.lua", "3")]).await;
    site.stop().await;
}

async fn s17_a_link_to_a_device_is_not_read(backend: &str) {
    let mut site = site(backend, |base| {
        link("/dev/zero", &base.join("lua/zero.lua"));
        link("/dev/stdout", &base.join("lua/out.lua"));
        write(&base.join("lua/x.lua"), "1");
    })
    .await;
    write(&site.root.join("x.lua"), "2");
    sync_and_keep(&mut site, "x.lua", "2").await;
    relink("x.lua", &site.root.join("zero.lua"));
    sync_and_keep(&mut site, "zero.lua", "2").await;
    site.stop().await;
}

/// What a test's own output is, is not for us to say: it may be a file.
async fn sync_and_keep(site: &mut Site, name: &str, text: &str) {
    site.sync().await;
    assert_eq!(site.known.get(name).map(String::as_str), Some(text));
    assert!(!site.known.get("zero.lua").is_some_and(|text| text.starts_with('\0')));
}

async fn s18_the_target_is_on_another_file_system(backend: &str) {
    use std::os::unix::fs::MetadataExt;
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else { return };
    let mut site = site(backend, |base| {
        write(&memory.path().join("t/a.lua"), "1");
        link(memory.path().join("t").to_str().unwrap(), &base.join("lua/d"));
    })
    .await;
    if fs::metadata(memory.path()).unwrap().dev() == fs::metadata(&site.base).unwrap().dev() {
        println!("both are on the same file system here");
    }
    write(&memory.path().join("t/a.lua"), "2");
    site.check(&[("d/a.lua", "2")]).await;
    site.stop().await;
}

async fn s20_every_version_has_the_same_old_time(backend: &str) {
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let mut site = site(backend, |base| {
        for version in ["1", "2"] {
            let path = base.join("store").join(version).join("x.lua");
            write(&path, version);
            fs::File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
        }
        link("../store/1", &base.join("lua/profile"));
    })
    .await;
    site.check(&[("profile/x.lua", "1")]).await;
    for version in ["2", "1"] {
        relink(&format!("../store/{version}"), &site.root.join("profile"));
        site.check(&[("profile/x.lua", version)]).await;
    }
    site.stop().await;
}

async fn s21_a_relative_link_starts_where_it_stands(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("lua/sub/other/x"), "right");
        write(&base.join("lua/other/x"), "wrong");
        link("other/x", &base.join("lua/sub/x.lua"));
    })
    .await;
    site.check(&[("sub/x.lua", "right")]).await;
    write(&site.root.join("sub/other/x"), "edited");
    site.check(&[("sub/x.lua", "edited")]).await;
    site.stop().await;
}

async fn e3_an_atomic_save_turns_a_link_into_a_file(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/a"), "1");
        link("../ext/a", &base.join("lua/x.lua"));
    })
    .await;
    write(&site.root.join("sedXXXX"), "2");
    fs::rename(site.root.join("sedXXXX"), site.root.join("x.lua")).unwrap();
    site.check(&[("x.lua", "2")]).await;
    write(&site.base.join("ext/a"), "stale");
    assert!(site.sync().await.is_empty());
    write(&site.root.join("x.lua"), "3");
    site.check(&[("x.lua", "3")]).await;
    site.stop().await;
}

async fn e12_two_files_change_places(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("ext/a"), "linked");
        link("../ext/a", &base.join("lua/x.lua"));
        write(&base.join("lua/y.lua"), "file");
    })
    .await;
    let (x, y) = (site.root.join("x.lua"), site.root.join("y.lua"));
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, &x, rustix::fs::CWD, &y, flags).unwrap();
    site.check(&[("x.lua", "file"), ("y.lua", "linked")]).await;
    write(&site.base.join("ext/a"), "edited");
    site.check(&[("x.lua", "file"), ("y.lua", "edited")]).await;
    site.stop().await;
}

async fn d6_a_file_becomes_a_directory_and_back(backend: &str) {
    let mut site = site(backend, |base| write(&base.join("lua/x.lua"), "1")).await;
    let x = site.root.join("x.lua");
    fs::remove_file(&x).unwrap();
    write(&x.join("y.lua"), "below");
    site.wait_for(&[("x.lua/y.lua", "below")]).await;
    fs::remove_dir_all(&x).unwrap();
    write(&x, "file");
    site.wait_for(&[("x.lua", "file")]).await;
    site.stop().await;
}

async fn r5_the_root_is_a_link_and_is_retargeted(backend: &str) {
    let mut site = site(backend, |base| {
        write(&base.join("releases/1/x.lua"), "1");
        write(&base.join("releases/2/x.lua"), "2");
        link("releases/1", &base.join("lua"));
    })
    .await;
    relink("releases/2", &site.root);
    site.check(&[("x.lua", "2")]).await;
    write(&site.base.join("releases/2/x.lua"), "3");
    site.check(&[("x.lua", "3")]).await;
    site.stop().await;
}

async fn a_farm_of_links_is_followed(backend: &str) {
    let mut site = site(backend, |base| {
        for file in 0..100 {
            write(&base.join(format!("store/{file}-hash/lib/m.lua")), &file.to_string());
            link(
                &format!("../../store/{file}-hash/lib/m.lua"),
                &base.join(format!("lua/{}/{file}.lua", file % 7)),
            );
        }
    })
    .await;
    assert_eq!(site.known.len(), 100);
    write(&site.base.join("store/42-hash/lib/m.lua"), "edited");
    site.sync().await;
    assert_eq!(site.known["0/42.lua"], "edited");
    // A new generation of one package.
    write(&site.base.join("store/43-other/lib/m.lua"), "upgraded");
    relink("../../store/43-other/lib/m.lua", &site.root.join("1/43.lua"));
    site.sync().await;
    assert_eq!(site.known["1/43.lua"], "upgraded");
    let old = site.base.join("store/43-hash/lib");
    assert!(!site.handle.links().watched_dirs.contains(&old));
    site.stop().await;
}
