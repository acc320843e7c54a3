//! A pseudo file system.

use std::fs;

use crate::Watched;

#[tokio::test]
async fn f12_n3_what_the_kernel_makes_up_is_seen_where_content_is_verified() {
    let dir = fs::canonicalize("/proc/thread-self").unwrap();
    let file = dir.join("comm");
    let mut watched = Watched::with(&[&dir], &[("interval", "1h"), ("verify", "content")]).await.0;
    watched.forget().await;
    fs::write(&file, "another").unwrap();
    assert!(watched.barrier().await.unwrap().hints.covers(&file));
}
