//! Random operations, the same each time: what nobody thought of.

use std::{fs, path::PathBuf};

use crate::View;

/// xorshift64*: all that is needed is that it is the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// Forty sequences of 25 operations; hard links are left out, as no event tells of the other name (S19).
pub async fn random_operations(mut view: View) {
    for seed in 1..=40 {
        let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let mut done = Vec::new();
        for step in 0..25 {
            done.push(operation(&view, &mut random, step));
            // Sometimes the view keeps up, sometimes it finds a heap of changes.
            if random.below(4) == 0 {
                view.check(&format!("seed {seed}, {done:?}")).await;
            }
        }
        view.check(&format!("seed {seed}, {done:?}")).await;
    }
    view.stop().await;
}

fn place(view: &View, random: &mut Random) -> PathBuf {
    let depth = 1 + random.below(3);
    let base = if random.below(12) == 0 { view.outside() } else { view.root().to_owned() };
    (0..depth).fold(base, |path, _| path.join(["a", "b", "c"][random.below(3) as usize]))
}

/// Does something, or nothing where it cannot be done; both are fine.
fn operation(view: &View, random: &mut Random, step: u64) -> String {
    let one = place(view, random);
    let other = place(view, random);
    let text = step.to_string();
    let (name, worked) = match random.below(9) {
        0 | 1 => ("write", fs::write(&one, text).is_ok()),
        2 => ("write deep", {
            one.parent().is_some_and(|dir| fs::create_dir_all(dir).is_ok()) && fs::write(&one, text).is_ok()
        }),
        3 => ("mkdir -p", fs::create_dir_all(&one).is_ok()),
        4 => ("rename", fs::rename(&one, &other).is_ok()),
        5 => ("copy and rename", {
            let copy = view.root().join("copy");
            fs::copy(&one, &copy).is_ok() && fs::rename(&copy, &other).is_ok()
        }),
        6 => ("rm", fs::remove_file(&one).is_ok()),
        7 => ("rm -r", fs::remove_dir_all(&one).is_ok()),
        _ => ("rm -r, mkdir, write", {
            fs::remove_dir_all(&one).is_ok()
                && fs::create_dir(&one).is_ok()
                && fs::write(one.join("a"), text).is_ok()
        }),
    };
    format!("{name} {} {} {worked}", one.display(), other.display())
}
