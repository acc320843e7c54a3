//! What stands after `--` in `cargo bench --bench NAME -- …`.

pub(crate) struct Flags(Vec<String>);

impl Flags {
    /// `None` where nothing is to be measured: `cargo test` starts benchmarks, too, without `--bench`.
    pub(crate) fn of(bench: &str) -> Option<Self> {
        let flags = Self(std::env::args().skip(1).collect());
        if flags.has("--bench") {
            return Some(flags);
        }
        println!("nothing measured; run it with: cargo bench --bench {bench}");
        None
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|arg| arg == flag)
    }

    /// What stands after a flag.
    pub(crate) fn value(&self, flag: &str) -> Option<&str> {
        let at = self.0.iter().position(|arg| arg == flag)?;
        self.0.get(at + 1).map(String::as_str)
    }
}
