//! The program: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use lua_hotloader::cli::{self, Cli};

/// Sessions are many small objects that move between threads, which glibc's arenas are slow with. Measured
/// one after the other: the last of 1000 sessions has a save 59 ms beyond `watch.quiet` instead of 109, at
/// the same memory. jemalloc was as fast and kept less after reloads (11 KiB a session instead of 28), but
/// needs `make` to be built.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Beside ours, glibc's allocator holds a few bytes for each thread, and for them it reserves 64 MiB of
/// address space each. Where that is limited (`ulimit -v`), it would be missing for sessions.
#[cfg(all(target_os = "linux", target_env = "gnu", not(portable)))]
#[allow(unsafe_code, reason = "std has no such call")]
fn share_one_arena() {
    // SAFETY: it only sets a number, before there is another thread.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(portable))))]
fn share_one_arena() {}

fn main() -> ExitCode {
    share_one_arena();
    let Err(error) = cli::run(Cli::parse()) else { return ExitCode::SUCCESS };
    let (code, remedy) = (error.exit_code(), error.remedy());
    eprintln!("lua-hotloader: {:#}", anyhow::Error::new(error));
    if let Some(remedy) = remedy {
        eprintln!("{remedy}");
    }
    ExitCode::from(code)
}
