//! Random operations, compared with a fresh scan of the disk.

use super::*;

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
