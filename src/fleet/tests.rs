//! Releases: what is packed comes out again, and what others write is not believed.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::{tree::Node, *};

const MAX: u64 = 64 << 20;

fn files(of: &[(&str, &[u8])]) -> Files {
    of.iter().map(|(path, bytes)| ((*path).to_owned(), Arc::from(*bytes))).collect()
}

/// Takes all it needs out of these blobs.
fn unpack(root: Digest, blobs: &BTreeMap<Digest, Arc<[u8]>>, max: u64) -> Result<Unpacked, ReleaseError> {
    let mut unpacking = Unpacking::new(root, max);
    loop {
        let needs = unpacking.needs(50);
        if needs.is_empty() {
            return Ok(unpacking.done().unwrap());
        }
        for address in needs {
            unpacking.take(address, blobs[&address].clone())?;
        }
    }
}

/// A store that an attacker fills.
#[derive(Default)]
struct Hostile(BTreeMap<Digest, Arc<[u8]>>);

impl Hostile {
    fn blob(&mut self, bytes: impl AsRef<[u8]>) -> Digest {
        let address = Digest::of(bytes.as_ref());
        self.0.insert(address, bytes.as_ref().into());
        address
    }

    fn dir(&mut self, entries: &[(&str, Node)]) -> Digest {
        let list = tree::encode(entries.iter().copied());
        self.blob(list)
    }

    fn file(&mut self, bytes: &[u8]) -> Node {
        Node::File { content: self.blob(bytes), size: bytes.len() as u64 }
    }

    fn refused(&self, root: Digest) -> ReleaseError {
        unpack(root, &self.0, MAX).unwrap_err()
    }
}

#[test]
fn what_is_packed_comes_out_again_and_equal_content_has_one_address() {
    let large: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();
    let site = files(&[
        ("lua/main.lua", b"x = 1"),
        ("lua/sub/main.lua", b"x = 1"),
        ("html/logo.png", &large),
        ("html/empty", b""),
        ("html/exact", &large[..PIECE]),
        ("readme", b"\xff\0"),
    ]);
    let packed = pack(&site, MAX).unwrap();
    assert!(packed.blobs.values().all(|blob| blob.len() <= PIECE));
    let unpacked = unpack(packed.root, &packed.blobs, MAX).unwrap();
    assert_eq!(unpacked.files, site);
    assert_eq!(unpacked.blobs, packed.blobs.keys().copied().collect());
    // lua/main.lua and its copy are one blob, and html/exact is the first piece of the logo: 4 directories, 3 other
    // contents, 3 pieces and their list.
    assert_eq!(packed.blobs.len(), 4 + 3 + 3 + 1);
}

#[test]
fn an_empty_site_is_a_release_too() {
    let packed = pack(&Files::new(), MAX).unwrap();
    assert!(unpack(packed.root, &packed.blobs, MAX).unwrap().files.is_empty());
}

#[test]
fn a_blob_that_is_not_what_its_address_says_is_refused() {
    let packed = pack(&files(&[("lua/main.lua", b"x = 1")]), MAX).unwrap();
    let content = Digest::of(b"x = 1");
    let mut forged = packed.blobs.clone();
    forged.insert(content, Arc::from(&b"x = 2"[..]));
    let error = unpack(packed.root, &forged, MAX).unwrap_err();
    assert!(matches!(&error, ReleaseError::Address { path, .. } if path == "lua/main.lua"), "{error}");
    assert!(!error.is_of_the_release(), "the release is right: what was kept is not");
}

#[test]
fn names_that_lead_elsewhere_are_refused_by_who_packs_and_by_who_unpacks() {
    let long = "n".repeat(256);
    for name in ["..", ".", "", "a/b", "a\0", "a\nb", "\u{7f}", &long] {
        let mut store = Hostile::default();
        let file = store.file(b"x");
        let inner = store.dir(&[(name, file)]);
        let root = store.dir(&[("lua", Node::Dir(inner))]);
        let error = store.refused(root);
        assert!(!error.to_string().is_empty() && error.is_of_the_release(), "{name:?}: {error}");
        let is_path = name == "a/b";
        assert!(is_path || pack(&files(&[(&format!("lua/{name}"), b"x")]), MAX).is_err(), "{name:?}");
    }
    let error = pack(&files(&[("lua/../../etc/passwd", b"x")]), MAX).unwrap_err();
    assert!(error.to_string().contains("lua/../../etc/passwd"), "{error}");
}

#[test]
fn a_name_that_stands_twice_or_out_of_order_is_refused() {
    for names in [["a", "a"], ["b", "a"]] {
        let mut store = Hostile::default();
        let file = store.file(b"x");
        let root = store.dir(&names.map(|name| (name, file)));
        assert!(matches!(store.refused(root), ReleaseError::Twice { .. }), "{names:?}");
    }
    let both = files(&[("a", b"x"), ("a/b", b"x")]);
    assert!(matches!(pack(&both, MAX), Err(ReleaseError::Twice { .. })));
}

#[test]
fn directories_in_each_other_and_those_that_multiply_end() {
    let mut store = Hostile::default();
    let mut dir = store.dir(&[]);
    for _ in 0..MAX_DEPTH + 1 {
        dir = store.dir(&[("d", Node::Dir(dir))]);
    }
    assert!(matches!(store.refused(dir), ReleaseError::TooDeep { .. }));
    // 2^30 directories in 30 blobs.
    let mut dir = store.dir(&[]);
    for _ in 0..30 {
        dir = store.dir(&[("a", Node::Dir(dir)), ("b", Node::Dir(dir))]);
    }
    assert!(matches!(store.refused(dir), ReleaseError::TooMany { .. }));
    let deep = "d/".repeat(MAX_DEPTH) + "f";
    assert!(matches!(pack(&files(&[(&deep, b"x")]), MAX), Err(ReleaseError::TooDeep { .. })));
    let deepest = "d/".repeat(MAX_DEPTH - 1) + "f";
    let packed = pack(&files(&[(&deepest, b"x")]), MAX).unwrap();
    assert!(unpack(packed.root, &packed.blobs, MAX).is_ok(), "who packs and who unpacks count alike");
}

#[test]
fn more_bytes_than_are_allowed_are_refused_before_they_are_fetched() {
    let mut store = Hostile::default();
    let content = store.blob("x");
    let huge = Node::Pieces { list: content, size: u64::MAX };
    let root = store.dir(&[("html", huge), ("more", huge)]);
    let mut unpacking = Unpacking::new(root, MAX);
    let error = unpacking.take(root, store.0[&root].clone()).unwrap_err();
    assert!(matches!(&error, ReleaseError::TooLarge { path, .. } if path == "html"), "{error}");
    assert!(error.to_string().contains("fleet.max_size"), "{error}");
    let error = pack(&files(&[("a", &[0; 11])]), 10).unwrap_err();
    assert!(matches!(error, ReleaseError::TooLarge { size: 11, max: 10, .. }), "{error}");
}

#[test]
fn sizes_that_lie_are_refused() {
    for says in [0, 4, 6, PIECE as u64] {
        let mut store = Hostile::default();
        let content = store.blob("x = 1");
        let root = store.dir(&[("a", Node::File { content, size: says })]);
        assert!(matches!(store.refused(root), ReleaseError::Size { is: 5, .. }), "{says}");
    }
    // A piece that is short, a piece too many, one too few.
    let piece = vec![7; PIECE];
    for (count, size) in [(2, PIECE + 1), (3, PIECE + 5), (1, PIECE + 5)] {
        let mut store = Hostile::default();
        let piece = store.blob(&piece);
        let list = store.blob(tree::encode_pieces(vec![piece; count]));
        let root = store.dir(&[("a", Node::Pieces { list, size: size as u64 })]);
        let error = store.refused(root);
        assert!(
            matches!(error, ReleaseError::Size { .. } | ReleaseError::Malformed { .. }),
            "{count}: {error}"
        );
    }
}

#[test]
fn one_content_has_one_text_and_others_are_refused() {
    let address = Digest::of(b"x");
    for text in [
        "".to_owned(),
        "tree 2\n".to_owned(),
        format!("tree 1\nf {address} 1 a"),
        format!("tree 1\nf {address} 01 a\n"),
        format!("tree 1\nf {address} +1 a\n"),
        format!("tree 1\nf {address} a\n"),
        format!("tree 1\nl {address} 1 a\n"),
        format!("tree 1\nf  {address} 1 a\n"),
        format!("tree 1\nf {} 1 a\n", address.to_string().to_uppercase()),
        format!("tree 1\nf {address} {} a\n", PIECE + 1),
        format!("tree 1\np {address} 1 a\n"),
        "tree 1\n\n".to_owned(),
    ] {
        let mut store = Hostile::default();
        store.blob("x");
        let root = store.blob(&text);
        let error = store.refused(root);
        assert!(matches!(error, ReleaseError::Malformed { .. }), "{text}: {error}");
    }
}

#[test]
fn a_link_is_no_entry_and_a_directory_is_no_file() {
    let mut store = Hostile::default();
    let target = store.blob("/etc/passwd");
    let root = store.blob(format!("tree 1\nl {target} 11 lua\n"));
    assert!(matches!(store.refused(root), ReleaseError::Malformed { .. }));
    // Content as a directory, and the list of a directory as content.
    let root = store.dir(&[("lua", Node::Dir(target))]);
    assert!(matches!(store.refused(root), ReleaseError::Malformed { path, .. } if path == "lua"));
}

fn any_site() -> impl Strategy<Value = Files> {
    let name = "[a-c]{1,2}(\\.lua)?";
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let content = prop::collection::vec(any::<u8>(), 0..40).prop_map(Arc::from);
    prop::collection::btree_map(path, content, 0..12).prop_filter("no file is a directory", |files| {
        let is_dir = |path: &String| files.keys().any(|other| other.starts_with(&format!("{path}/")));
        !files.keys().any(is_dir)
    })
}

proptest! {
    #[test]
    fn any_site_comes_out_as_it_went_in_and_only_equal_ones_have_one_root(one in any_site(), other in any_site()) {
        let packed = pack(&one, MAX).unwrap();
        prop_assert_eq!(&unpack(packed.root, &packed.blobs, MAX).unwrap().files, &one);
        prop_assert_eq!(pack(&other, MAX).unwrap().root == packed.root, one == other);
    }

    #[test]
    fn whatever_one_byte_of_a_release_is_changed_to_it_is_refused(site in any_site(), at: prop::sample::Index, by in 1u8..) {
        let packed = pack(&site, MAX).unwrap();
        let mut blobs = packed.blobs.clone();
        let address = *at.get(&blobs.keys().copied().collect::<Vec<_>>());
        let mut bytes = blobs[&address].to_vec();
        prop_assume!(!bytes.is_empty());
        let place = at.index(bytes.len());
        bytes[place] ^= by;
        blobs.insert(address, bytes.into());
        prop_assert!(unpack(packed.root, &blobs, MAX).is_err());
    }

    #[test]
    fn no_text_of_a_stranger_is_more_than_refused(text in "(tree 1\n)?([dfp] [0-9a-f]{64} [0-9]{1,3} [a-c./]{1,3}\n){0,4}") {
        let mut unpacking = Unpacking::new(Digest::of(text.as_bytes()), MAX);
        let _ = unpacking.take(Digest::of(text.as_bytes()), text.as_bytes().into());
        if let Ok(entries) = tree::decode("", text.as_bytes()) {
            let again = tree::encode(entries.iter().map(|(name, node)| (name.as_str(), *node)));
            prop_assert_eq!(again, text.into_bytes());
        }
    }
}
