//! The depot in a directory, and the cache of a server.

use std::{fs, os::unix::fs::symlink, sync::Arc, time::Duration};

use super::{
    kept::{Sweep, Waste},
    *,
};

fn blob(text: &str) -> (Digest, Arc<[u8]>) {
    (Digest::of(text.as_bytes()), text.as_bytes().into())
}

#[tokio::test]
async fn of_many_who_write_after_one_revision_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Arc::new(DirDepot::new(dir.path().to_owned()));
    for revision in 0..5 {
        let writes = (0..8).map(|n| {
            let depot = depot.clone();
            tokio::spawn(async move { depot.point("shop", revision, vec![n]).await })
        });
        let written = futures_util::future::join_all(writes).await.into_iter().map(|done| done.unwrap());
        let (ok, lost): (Vec<_>, Vec<_>) = written.partition(Result::is_ok);
        assert_eq!((ok.len(), lost.len()), (1, 7));
        assert!(lost.iter().all(|error| matches!(error, Err(DepotError::Overtaken))), "{lost:?}");
        assert_eq!(depot.pointer("shop").await.unwrap().unwrap().revision, revision + 1);
    }
}

#[tokio::test]
async fn the_last_64_pointers_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let depot = DirDepot::new(dir.path().to_owned());
    for revision in 0..70 {
        depot.point("shop", revision, vec![0]).await.unwrap();
    }
    let kept = depot.pointers("shop").await.unwrap();
    assert_eq!((kept.len(), kept.last().unwrap().revision), (KEPT_POINTERS, 70));
}

#[tokio::test]
async fn a_blob_that_is_damaged_in_the_depot_is_missing_and_is_put_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let depot = DirDepot::new(dir.path().to_owned());
    let (address, bytes) = blob("x = 1");
    assert_eq!(depot.missing(vec![address]).await.unwrap(), [address]);
    depot.put(address, bytes.clone()).await.unwrap();
    assert!(depot.missing(vec![address]).await.unwrap().is_empty());
    let digits = address.to_string();
    fs::write(dir.path().join("blobs").join(&digits[..2]).join(&digits[2..]), "").unwrap();
    assert_eq!(depot.missing(vec![address]).await.unwrap(), [address]);
    depot.put(address, bytes.clone()).await.unwrap();
    assert_eq!(depot.get(address).await.unwrap(), Some(bytes));
}

#[tokio::test]
async fn pipes_links_and_huge_files_in_the_depot_are_refused_and_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let depot = DirDepot::new(dir.path().to_owned());
    let (address, _) = blob("x = 1");
    let digits = address.to_string();
    let path = dir.path().join("blobs").join(&digits[..2]).join(&digits[2..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let within = Duration::from_secs(10);
    assert!(tokio::time::timeout(within, depot.get(address)).await.unwrap().is_err());
    fs::remove_file(&path).unwrap();
    symlink("/etc/hostname", &path).unwrap();
    assert!(depot.get(address).await.is_err());
    fs::remove_file(&path).unwrap();
    fs::write(&path, vec![0; PIECE + 1]).unwrap();
    let error = depot.get(address).await.unwrap_err();
    assert!(matches!(error, DepotError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn a_pointer_and_a_report_are_hinted() {
    let dir = tempfile::tempdir().unwrap();
    let depot = DirDepot::new(dir.path().to_owned());
    let (mut news, mut hints) = (depot.news("shop"), depot.hints("shop"));
    let within = Duration::from_secs(20);
    depot.point("shop", 0, vec![1]).await.unwrap();
    assert_eq!(tokio::time::timeout(within, news.recv()).await.unwrap(), Some(News::Look));
    depot.report("shop", "a", vec![1]).await.unwrap();
    tokio::time::timeout(within, hints.changed()).await.unwrap().unwrap();
    assert_eq!(depot.reports("shop").await.unwrap().len(), 1);
}

#[test]
fn one_server_uses_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    assert!(matches!(Cache::open(dir.path()), Err(CacheError::Taken(_))));
    let tag = cache.tag().unwrap();
    drop(cache);
    assert_eq!(Cache::open(dir.path()).unwrap().tag().unwrap(), tag, "it is the same server after a restart");
}

#[test]
fn what_must_not_be_forgotten_is_not_and_damage_is_no_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    assert_eq!(cache.memory().unwrap(), Memory::default());
    let mut memory = Memory { seen: Position { seq: 7, step: 2 }, ..Memory::default() };
    memory.refused.insert(Digest::of(b"1"), Refusal { seq: 7, why: "lua/main.lua:3".into() });
    cache.remember(&memory).unwrap();
    assert_eq!(cache.memory().unwrap(), memory);
    fs::write(dir.path().join("state.json"), "{").unwrap();
    assert!(matches!(cache.memory(), Err(CacheError::Damaged { .. })));
}

#[test]
fn a_blob_that_is_damaged_in_the_cache_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let (address, bytes) = blob("x = 1");
    cache.put(address, &bytes).unwrap();
    assert_eq!(cache.get(address), Some(bytes));
    let digits = address.to_string();
    fs::write(dir.path().join("blobs").join(&digits[..2]).join(&digits[2..]), "x = 2").unwrap();
    assert_eq!(cache.get(address), None);
}

/// Puts the blobs of a release into the cache; the release as it comes after another.
fn release(cache: &Cache, of: &[(&str, &str)], before: &Listing) -> Unpacked {
    let file = |(path, text): &(&str, &str)| ((*path).to_owned(), Arc::from(text.as_bytes()));
    let packed = pack(&of.iter().map(file).collect(), 1 << 20).unwrap();
    packed.blobs.iter().for_each(|(address, bytes)| cache.put(*address, bytes).unwrap());
    let mut unpacking = Unpacking::new(packed.root, 1 << 20).after(Arc::new(before.clone()));
    while let [address, ..] = unpacking.needs(1)[..] {
        unpacking.take(address, packed.blobs[&address].clone()).unwrap();
    }
    unpacking.done().unwrap()
}

#[test]
fn browsers_get_all_files_of_one_release_or_all_of_the_other_and_what_is_not_needed_goes() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let sites = ["1", "2"].map(|text| {
        [("html/a.css", text), ("html/same.css", "same"), ("html/sub/b.js", text), ("lua/main.lua", text)]
    });
    let one = release(&cache, &sites[0], &Listing::default());
    let other = release(&cache, &sites[1], &one.listing);
    assert!(!other.files.contains_key("html/same.css"), "its content is not read again");
    for (release, site) in [&one, &other].into_iter().zip(sites) {
        cache.lay_out(release).unwrap();
        cache.show(release.root).unwrap();
        for (path, text) in site.iter().filter(|(path, _)| path.starts_with("html/")) {
            assert_eq!(fs::read_to_string(cache.current().join(path)).unwrap(), *text);
        }
    }
    let gone: Vec<Digest> = one.blobs.difference(&other.blobs).copied().collect();
    assert!(gone.iter().all(|address| cache.get(*address).is_some()));
    cache.sweep(&Sweep::Only(Waste { blobs: gone.iter().copied().collect(), trees: vec![one.root] }));
    assert!(gone.iter().all(|address| cache.get(*address).is_none()));
    assert!(other.blobs.iter().all(|address| cache.get(*address).is_some()));
    assert_eq!(fs::read_to_string(cache.current().join("html/same.css")).unwrap(), "same");
    // What nobody knows of: of another time.
    let older = release(&cache, &[("html/old.css", "old")], &Listing::default());
    cache.lay_out(&older).unwrap();
    cache.sweep(&Sweep::AllBut(Waste { blobs: other.blobs.clone(), trees: vec![other.root] }));
    assert!(older.blobs.iter().all(|address| cache.get(*address).is_none()));
    assert!(other.blobs.iter().all(|address| cache.get(*address).is_some()));
    assert_eq!(fs::read_dir(dir.path().join("trees")).unwrap().count(), 1);
}

#[test]
fn what_browsers_load_is_mended_with_the_first_look_at_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let release = release(&cache, &[("html/a.css", "a"), ("html/b.css", "b")], &Listing::default());
    cache.lay_out(&release).unwrap();
    cache.show(release.root).unwrap();
    fs::write(cache.current().join("html/a.css"), "").unwrap();
    fs::remove_file(cache.current().join("html/b.css")).unwrap();
    cache.lay_out(&release).unwrap();
    for (path, bytes) in &release.files {
        assert_eq!(fs::read(cache.current().join(path)).unwrap(), bytes[..], "{path}");
    }
}

#[test]
fn a_large_file_that_stays_is_neither_read_nor_lost() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let large = "x".repeat(PIECE + 1);
    let one = release(&cache, &[("html/large", &large), ("lua/main.lua", "1")], &Listing::default());
    let other = release(&cache, &[("html/large", &large), ("lua/main.lua", "2")], &one.listing);
    let alone = release(&cache, &[("html/large", &large), ("lua/main.lua", "2")], &Listing::default());
    assert_eq!(other.files.keys().collect::<Vec<_>>(), ["lua/main.lua"]);
    assert_eq!((&other.listing, &other.blobs), (&alone.listing, &alone.blobs));
}
