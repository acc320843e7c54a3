//! Something is mounted over a watched directory, and taken away again: in a mount namespace of the child's own, so
//! nothing stays behind. Root is needed, or a system that allows such namespaces.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use super::site::{Backend, Site};

fn mount(arguments: &[&str], dir: &Path) {
    let done = Command::new(arguments[0]).args(&arguments[1..]).arg(dir).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Where one may mount.
pub async fn mounts_and_unmounts(backend: Backend<'_>) {
    let mut site = Site::new(backend);
    let (dir, sub) = (site.root.join("d"), site.root.join("d/sub"));
    fs::create_dir_all(&sub).unwrap();
    fs::write(sub.join("x"), "below").unwrap();
    site.arm(BTreeSet::from([site.root.clone(), dir.clone(), sub.clone()])).await;
    site.hints().await;
    for lazily in [false, true] {
        mount(&["mount", "-t", "tmpfs", "none"], &dir);
        assert!(site.hints().await.covers(&sub.join("x")), "a mount is told by the next barrier");
        fs::create_dir(&sub).unwrap();
        assert!(site.hints().await.covers(&sub));
        fs::write(sub.join("x"), "above").unwrap();
        assert!(site.hints().await.covers(&sub.join("x")), "what is mounted is watched");
        if lazily {
            mount(&["umount", "-l"], &dir);
        } else {
            mount(&["umount"], &dir);
        }
        assert!(site.hints().await.covers(&sub.join("x")), "so is the end of it");
        fs::write(sub.join("x"), "below again").unwrap();
        assert!(site.hints().await.covers(&sub.join("x")), "what was below is watched again");
    }
    site.handle.stop().await;
}
