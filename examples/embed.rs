//! A little game that owns its Lua state, and reloads its scripts while it runs.
//!
//! `cargo run --example embed`, then edit the files in `examples/embed/`: another sign, another speed, a
//! mistake. The balls stay where they are. Arguments: the directory, and after how many frames it ends.

use std::{env, error::Error, path::Path, thread, time::Duration};

use lua_hotloader::{config::WatchConfig, embed::Scripts};
use mlua::{Function, Lua, UserData, UserDataMethods};

const FRAME: Duration = Duration::from_millis(50);

/// What the program lends to its scripts. No reload touches it.
#[derive(Default)]
struct Screen {
    row: String,
    is_over: bool,
}

impl UserData for Screen {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut("put", |_, screen, (x, sign): (usize, String)| {
            screen.row = format!("{:<x$}{sign}", screen.row);
            Ok(())
        });
        methods.add_method_mut("quit", |_, screen, ()| {
            screen.is_over = true;
            Ok(())
        });
    }
}

/// The loop of the game; `show` gets what the player sees.
pub(crate) fn play(dir: &Path, frames: usize, mut show: impl FnMut(&str)) -> Result<(), Box<dyn Error>> {
    let mut last = String::new();
    let mut say = |line: String| {
        if line != last {
            show(&line);
            last = line;
        }
    };
    let scripts = Scripts::watch(dir, &WatchConfig::default())?;
    let lua = Lua::new();
    let screen = lua.create_userdata(Screen::default())?;
    lua.globals().set("screen", &screen)?;
    let mut state = scripts.attach(&lua)?;
    if let Err(error) = state.run("main.lua") {
        say(error.to_string()); // Saving the file mends it.
    }
    for _ in 0..frames {
        for report in state.update() {
            say(report.to_string());
        }
        for error in state.fire_timers() {
            say(error.to_string());
        }
        if let Err(error) = state.call(|lua| lua.globals().get::<Function>("frame")?.call::<()>(())) {
            say(error.to_string());
        }
        let mut screen = screen.borrow_mut::<Screen>()?;
        say(std::mem::take(&mut screen.row));
        if screen.is_over {
            break;
        }
        thread::sleep(FRAME);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let dir = arguments.next().unwrap_or_else(|| "examples/embed".into());
    let frames = arguments.next().map_or(Ok(usize::MAX), |frames| frames.parse())?;
    play(dir.as_ref(), frames, |line| println!("{line}"))
}
