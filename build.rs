//! Looks at the sample site again when a file of it comes or goes; `include_dir!` by itself only
//! notices that one it knows has changed (<https://github.com/Michael-F-Bryan/include_dir/issues/120>).

fn main() {
    for folder in ["lua", "src/web/client"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
