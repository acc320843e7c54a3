//! Random operations, compared with a fresh scan of the disk.

use super::{bare::Bare, *};

/// xorshift64*: the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n) as usize
    }

    fn place(&mut self, base: &Path) -> PathBuf {
        let depth = 1 + self.below(3);
        let top = base.join(["lua", "lua", "ext"][self.below(3)]);
        (1..depth)
            .fold(top, |path, _| path.join(["a", "b"][self.below(2)]))
            .join(["a", "b", "x.lua", "y.lua"][self.below(4)])
    }
}

#[tokio::test]
async fn at_rest_the_tree_equals_the_disk_whatever_was_done() {
    for seed in 1..=30_u64 {
        let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let mut site = Site::with(|base| fs::create_dir(base.join("lua")).unwrap()).await;
        let base = site.base.clone();
        let mut done = Vec::new();
        for step in 0..30 {
            let (one, other) = (random.place(&base), random.place(&base));
            let text = step.to_string();
            // What cannot be done is not done.
            let what = match random.below(10) {
                0 | 1 => ("write", fs::write(&one, text).is_ok()),
                2 => (
                    "write deep",
                    fs::create_dir_all(one.parent().unwrap()).is_ok() && fs::write(&one, text).is_ok(),
                ),
                3 => ("mkdir", fs::create_dir_all(&one).is_ok()),
                4 => ("mv", fs::rename(&one, &other).is_ok()),
                5 | 6 => ("ln -s", symlink(&one, &other).is_ok()),
                7 => (
                    "ln -sfn",
                    symlink(&one, base.join("new"))
                        .and_then(|()| fs::rename(base.join("new"), &other))
                        .is_ok(),
                ),
                8 => ("rm", fs::remove_file(&one).is_ok()),
                _ => ("rm -r", fs::remove_dir_all(&one).is_ok()),
            };
            done.push((what, one, other));
            if random.below(3) == 0 {
                site.sync().await;
            }
        }
        let now = scan_once(&settings(), vec![lua_root(&site.root)]).await.unwrap();
        let text = |content: &Content| String::from_utf8(content.bytes.to_vec()).unwrap();
        let disk: Vec<(String, String)> = now
            .changes
            .iter()
            .map(|change| (change.name.to_str().unwrap().to_owned(), text(change.content().unwrap())))
            .collect();
        site.sync().await;
        println!("seed {seed}: {done:#?}");
        let disk: Vec<_> = disk.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        site.wait_for(&disk).await;
        site.stop().await;
    }
}

/// Does an operation and returns the places that a backend would hint: entries of watched directories.
fn operate(random: &mut Random, bare: &Bare, step: usize) -> (String, Vec<PathBuf>) {
    let (one, other) = (random.place(&bare.base), random.place(&bare.base));
    let text = step.to_string();
    // Where an entry really is, and where writing through it goes.
    let entry = |path: &Path| Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    let written = |path: &Path| fs::canonicalize(path).ok();
    let mut touched: Vec<Option<PathBuf>> = vec![entry(&one), entry(&other)];
    let what = match random.below(13) {
        0 | 1 => ("write", fs::write(&one, text).is_ok()),
        2 | 3 => {
            let mut above: Vec<&Path> = one.ancestors().skip(1).collect();
            above.reverse();
            for dir in above {
                if fs::create_dir(dir).is_ok() {
                    touched.push(entry(dir));
                }
            }
            touched.push(entry(&one));
            ("write deep", fs::write(&one, text).is_ok())
        }
        4 => ("mkdir", fs::create_dir(&one).is_ok()),
        5 => ("mv", fs::rename(&one, &other).is_ok()),
        6 | 7 => ("ln -s", symlink(&one, &other).is_ok()),
        8 => (
            "ln -sfn",
            symlink(&one, bare.base.join("new"))
                .and_then(|()| fs::rename(bare.base.join("new"), &other))
                .is_ok(),
        ),
        9 => ("ln", fs::hard_link(&one, &other).is_ok()),
        10 => ("rm", fs::remove_file(&one).is_ok()),
        11 => ("rm -r", fs::remove_dir_all(&one).is_ok()),
        _ => {
            let file = fs::File::options().append(true).open(&one);
            let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(step as u64);
            ("touch -d", file.and_then(|file| file.set_modified(old)).is_ok())
        }
    };
    touched.push(written(&one));
    let watched = |path: &PathBuf| {
        bare.watched.contains(path) || path.parent().is_some_and(|dir| bare.watched.contains(dir))
    };
    (format!("{what:?} {one:?} {other:?}"), touched.into_iter().flatten().filter(watched).collect())
}

#[test]
fn at_rest_the_reconciler_equals_the_disk_whatever_was_done() {
    for seed in 1..=400_u64 {
        let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let mut bare = Bare::new(|base| fs::create_dir(base.join("lua")).unwrap());
        let mut done = Vec::new();
        let mut hints = Vec::new();
        for step in 0..40 {
            let (what, touched) = operate(&mut random, &bare, step);
            done.push(what);
            hints.extend(touched);
            match random.below(8) {
                0..3 => drop(bare.look_at(&std::mem::take(&mut hints))),
                3 => bare.rest(),
                // As after a loss of sync.
                4 if random.below(4) == 0 => drop(bare.look(&hotloader_backend::HintSet::everywhere())),
                _ => {}
            }
        }
        bare.look_at(&hints);
        // What was written under another name of the file is hinted by nobody.
        bare.upkeep(Duration::from_secs(4));
        bare.rest();
        let disk = bare.disk();
        assert_eq!(bare.known, disk, "seed {seed}: {done:#?}");
    }
}
