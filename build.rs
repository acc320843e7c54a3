//! Looks at the sample site again when a file of it comes or goes; `include_dir!` by itself only
//! notices that one it knows has changed (<https://github.com/Michael-F-Bryan/include_dir/issues/120>).
//! And lets modules in C find Lua's functions in the program (`lua.native`), as the system's `lua` does.

fn main() {
    for folder in ["lua", "src/web/client"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        for functions in ["lua_*", "luaL_*"] {
            println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol={functions}");
        }
    }
}
