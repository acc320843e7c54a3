//! Links: followed, replaced, retargeted, dangling, in circles, and where they may not lead.

use super::*;

#[tokio::test]
async fn a_linked_file_is_followed_edited_replaced_retargeted_and_removed() {
    let mut site = Site::with(|base| {
        write(&base.join("ext/1/a.lua"), "1");
        write(&base.join("ext/2/a.lua"), "2");
        fs::create_dir(base.join("lua")).unwrap();
        symlink("../ext/1/a.lua", base.join("lua/x.lua")).unwrap();
    })
    .await;
    let link = site.root.join("x.lua");
    site.check(&[("x.lua", "1")]).await;
    assert_eq!(site.handle.links().symlink_targets[&link], site.base.join("ext/1/a.lua"));
    write(&site.base.join("ext/1/a.lua"), "1 edited");
    site.check(&[("x.lua", "1 edited")]).await;
    write(&site.base.join("ext/1/new"), "1 replaced");
    fs::rename(site.base.join("ext/1/new"), site.base.join("ext/1/a.lua")).unwrap();
    site.check(&[("x.lua", "1 replaced")]).await;

    relink("../ext/2/a.lua", &link);
    site.check(&[("x.lua", "2")]).await;
    write(&site.base.join("ext/1/a.lua"), "nobody reads it");
    assert!(site.sync().await.is_empty(), "the old target is not ours any more");
    assert!(!site.handle.links().watched_dirs.contains(&site.base.join("ext/1")));
    write(&site.base.join("ext/2/a.lua"), "2 edited");
    site.check(&[("x.lua", "2 edited")]).await;

    fs::remove_file(&link).unwrap();
    symlink("../ext/1/a.lua", &link).unwrap();
    site.check(&[("x.lua", "nobody reads it")]).await;
    fs::remove_file(&link).unwrap();
    site.wait_for(&[]).await;
    assert!(site.handle.links().symlink_targets.is_empty());
    assert!(!site.handle.links().watched_dirs.contains(&site.base.join("ext/1")));
    site.stop().await;
}

#[tokio::test]
async fn a_linked_directory_is_followed_recreated_retargeted_and_removed() {
    let mut site = Site::with(|base| {
        write(&base.join("ext/1/a.lua"), "1");
        write(&base.join("ext/2/b.lua"), "2");
        fs::create_dir(base.join("lua")).unwrap();
    })
    .await;
    let link = site.root.join("d");
    symlink("../ext/1", &link).unwrap();
    site.check(&[("d/a.lua", "1")]).await;
    write(&site.base.join("ext/1/sub/c.lua"), "3");
    site.check(&[("d/a.lua", "1"), ("d/sub/c.lua", "3")]).await;
    for round in ["4", "5"] {
        fs::remove_dir_all(site.base.join("ext/1")).unwrap();
        write(&site.base.join("ext/1/a.lua"), round);
        site.wait_for(&[("d/a.lua", round)]).await;
        write(&site.base.join("ext/1/a.lua"), "later");
        site.check(&[("d/a.lua", "later")]).await;
    }
    relink("../ext/2", &link);
    site.wait_for(&[("d/b.lua", "2")]).await;
    write(&site.base.join("ext/2/b.lua"), "2 edited");
    site.check(&[("d/b.lua", "2 edited")]).await;
    fs::remove_file(&link).unwrap();
    site.wait_for(&[]).await;
    site.stop().await;
}

#[tokio::test]
async fn the_middle_of_a_chain_can_be_flipped() {
    let mut site = Site::with(|base| {
        write(&base.join("ext/1/x.lua"), "1");
        write(&base.join("ext/2/x.lua"), "2");
        fs::create_dir(base.join("lua")).unwrap();
        symlink("ext/1", base.join("current")).unwrap();
        symlink("../current/x.lua", base.join("lua/x.lua")).unwrap();
    })
    .await;
    site.check(&[("x.lua", "1")]).await;
    relink("ext/2", &site.base.join("current"));
    site.check(&[("x.lua", "2")]).await;
    // A plain directory on the way is renamed away and replaced.
    fs::rename(site.base.join("ext"), site.base.join("old")).unwrap();
    write(&site.base.join("ext/2/x.lua"), "3");
    site.check(&[("x.lua", "3")]).await;
    write(&site.base.join("ext/2/x.lua"), "4");
    site.check(&[("x.lua", "4")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_dangling_link_becomes_valid_step_by_step() {
    let mut site = Site::with(|base| {
        fs::create_dir(base.join("lua")).unwrap();
        symlink("../ext/late/x.lua", base.join("lua/x.lua")).unwrap();
    })
    .await;
    site.check(&[]).await;
    fs::create_dir(site.base.join("ext")).unwrap();
    site.check(&[]).await;
    fs::create_dir(site.base.join("ext/late")).unwrap();
    site.check(&[]).await;
    write(&site.base.join("ext/late/x.lua"), "here");
    site.check(&[("x.lua", "here")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_kubernetes_flip_is_one_change_set() {
    let mut site = Site::with(|base| {
        write(&base.join("lua/..2024/x.lua"), "1");
        write(&base.join("lua/..2024/y.lua"), "1");
        symlink("..2024", base.join("lua/..data")).unwrap();
        symlink("..data/x.lua", base.join("lua/x.lua")).unwrap();
        symlink("..data/y.lua", base.join("lua/y.lua")).unwrap();
    })
    .await;
    for version in ["2025", "2026"] {
        write(&site.root.join(format!("..{version}/x.lua")), version);
        write(&site.root.join(format!("..{version}/y.lua")), version);
        let old = fs::read_link(site.root.join("..data")).unwrap();
        symlink(format!("..{version}"), site.root.join("..data_tmp")).unwrap();
        fs::rename(site.root.join("..data_tmp"), site.root.join("..data")).unwrap();
        fs::remove_dir_all(site.root.join(old)).unwrap();
        let sets = site.sync().await;
        assert_eq!(sets.len(), 1);
        assert_eq!(sets[0].changes.len(), 2);
        site.check(&[("x.lua", version), ("y.lua", version)]).await;
    }
    site.stop().await;
}

#[tokio::test]
async fn one_edit_reaches_each_name_of_the_file_and_content_is_shared() {
    let mut site = Site::with(|base| {
        write(&base.join("ext/a.lua"), "1");
        fs::create_dir(base.join("lua")).unwrap();
        symlink("../ext/a.lua", base.join("lua/x.lua")).unwrap();
        symlink("../ext/a.lua", base.join("lua/y.lua")).unwrap();
        symlink("../ext", base.join("lua/d")).unwrap();
    })
    .await;
    write(&site.base.join("ext/a.lua"), "2");
    let sets = site.sync().await;
    assert_eq!(sets.len(), 1);
    let names: Vec<_> = sets[0].changes.iter().map(|change| change.name.to_str().unwrap()).collect();
    assert_eq!(names, ["d/a.lua", "x.lua", "y.lua"]);
    let contents: Vec<_> = sets[0].changes.iter().filter_map(Change::content).collect();
    assert!(std::sync::Arc::ptr_eq(&contents[0].bytes, &contents[2].bytes));
    // Removing one leaves the others alive.
    fs::remove_file(site.root.join("x.lua")).unwrap();
    site.wait_for(&[("d/a.lua", "2"), ("y.lua", "2")]).await;
    write(&site.base.join("ext/a.lua"), "3");
    site.check(&[("d/a.lua", "3"), ("y.lua", "3")]).await;
    site.stop().await;
}

#[tokio::test]
async fn cycles_end() {
    let mut site = Site::with(|base| {
        write(&base.join("lua/sub/x.lua"), "1");
        symlink(".", base.join("lua/self")).unwrap();
        symlink("..", base.join("lua/sub/up")).unwrap();
        symlink("/", base.join("lua/everything")).unwrap();
        symlink("b.lua", base.join("lua/a.lua")).unwrap();
        symlink("a.lua", base.join("lua/b.lua")).unwrap();
    })
    .await;
    site.check(&[("sub/x.lua", "1")]).await;
    write(&site.root.join("sub/x.lua"), "2");
    site.check(&[("sub/x.lua", "2")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_root_may_come_late_and_be_a_link_that_is_retargeted() {
    let mut site = Site::with(|_| {}).await;
    site.check(&[]).await;
    write(&site.base.join("1/x.lua"), "1");
    write(&site.base.join("2/x.lua"), "2");
    symlink("1", &site.root).unwrap();
    site.check(&[("x.lua", "1")]).await;
    relink("2", &site.root);
    site.check(&[("x.lua", "2")]).await;
    write(&site.base.join("2/x.lua"), "2 edited");
    site.check(&[("x.lua", "2 edited")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_link_outside_the_allowed_roots_is_not_read() {
    let keep = tempfile::tempdir().unwrap();
    let outside = fs::canonicalize(keep.path()).unwrap();
    write(&outside.join("yes/a.lua"), "yes");
    write(&outside.join("no/a.lua"), "no");
    let narrow = WatchConfig { allowed_roots: vec![outside.join("yes")], ..settings() };
    let mut site = Site::with_settings(&narrow, |base| {
        write(&base.join("lua/in/a.lua"), "in");
        symlink("in/a.lua", base.join("lua/in.lua")).unwrap();
        symlink(outside.join("yes/a.lua"), base.join("lua/yes.lua")).unwrap();
        symlink(outside.join("no/a.lua"), base.join("lua/no.lua")).unwrap();
        symlink(outside.join("no"), base.join("lua/dir")).unwrap();
    })
    .await;
    site.check(&[("in.lua", "in"), ("in/a.lua", "in"), ("yes.lua", "yes")]).await;
    relink(outside.join("yes/a.lua").to_str().unwrap(), &site.root.join("no.lua"));
    site.check(&[("in.lua", "in"), ("in/a.lua", "in"), ("no.lua", "yes"), ("yes.lua", "yes")]).await;
    site.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_link_to_what_the_kernel_makes_up_is_not_read() {
    let mut site = Site::with_settings(&settings(), |base| {
        write(&base.join("lua/in.lua"), "in");
        symlink("/proc/self/environ", base.join("lua/environ.lua")).unwrap();
        symlink("/proc/self", base.join("lua/dir")).unwrap();
        symlink("/sys/kernel", base.join("lua/sys")).unwrap();
        symlink("/dev", base.join("lua/dev")).unwrap();
        symlink("dir/environ", base.join("lua/twice.lua")).unwrap();
    })
    .await;
    site.check(&[("in.lua", "in")]).await;
    site.stop().await;
}

/// A link in `/`, which goes away with the test.
struct TopLink(PathBuf);

impl Drop for TopLink {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Only root may make one there: as anybody else, this tests nothing.
#[tokio::test]
async fn a_link_in_the_top_directory_is_followed_when_it_is_led_elsewhere_and_afterwards() {
    let keep = tempfile::tempdir().unwrap();
    let base = fs::canonicalize(keep.path()).unwrap();
    for release in ["r1", "r2"] {
        write(&base.join(release).join("lua/x.lua"), release);
    }
    let top = TopLink(format!("/hotloader-test-{}", std::process::id()).into());
    if symlink(base.join("r1"), &top.0).is_err() {
        return;
    }
    let (handle, mut sets) =
        start(&settings(), vec![lua_root(&top.0.join("lua"))], &Registry::with_builtin()).await.unwrap();
    sets.recv().await.unwrap();
    let mut next = async || {
        let set = timeout(DEADLINE, sets.recv()).await.unwrap().unwrap();
        String::from_utf8(set.changes[0].content().unwrap().bytes.to_vec()).unwrap()
    };
    relink(base.join("r2").to_str().unwrap(), &top.0);
    assert_eq!(next().await, "r2");
    write(&base.join("r2/lua/x.lua"), "edited");
    assert_eq!(next().await, "edited");
    timeout(DEADLINE, handle.stop()).await.unwrap();
}
