//! NATS with the users that the documentation of a fleet has.

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use hotloader_nats::{Releases, Settings};
use hotloader_test_support::{
    nats::{NatsServer, Version},
    on_each_nats, until,
};
use tokio::sync::mpsc;

use crate::harness::settings;

on_each_nats! {
    each_user_of_the_documentation_can_do_its_part_and_nothing_else,
}

/// The configuration of NATS in docs/security.md.
fn documented() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
    let page = fs::read_to_string(page).unwrap();
    let text = page.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let here = text.replace("/var/lib/nats", "$DIR/store");
    assert_ne!(here, text);
    here
}

async fn connect(nats: &NatsServer, user: &str, patience: Duration) -> Result<Releases, String> {
    let url = nats.url().replace("nats://", &format!("nats://{user}@"));
    let settings = Settings { site: "shop-releases".into(), has_store: false, patience, ..settings(&url) };
    Releases::connect(settings).await.map_err(|error| error.to_string())
}

/// The next announcement; that some may have been missed is none.
async fn next(heard: &mut mpsc::Receiver<Option<Bytes>>) -> Bytes {
    loop {
        if let Some(announced) = heard.recv().await.unwrap() {
            return announced;
        }
    }
}

async fn each_user_of_the_documentation_can_do_its_part_and_nothing_else(version: Version) {
    let Some(nats) = NatsServer::start_with(version, &documented()) else { return };
    let patience = Duration::from_secs(15);
    let publisher = connect(&nats, "publisher:PUBLISHER", patience).await.unwrap();
    let server = connect(&nats, "web1:WEB1", patience).await.unwrap();

    // What a server and who publishes do.
    let mut heard = server.announcements("shop");
    assert_eq!(heard.recv().await, Some(None));
    let hints = publisher.hints("shop");
    until("it to listen", async || (*hints.borrow() > 0).then_some(())).await;
    assert!(publisher.addresses().await.unwrap().is_empty());
    publisher.put("0f", Bytes::from_static(b"blob")).await.unwrap();
    assert_eq!(publisher.point("shop", 0, Bytes::from_static(b"pointer")).await.unwrap(), 1);
    publisher.announce("shop", vec![Bytes::from_static(b"new")]).await.unwrap();
    assert_eq!(next(&mut heard).await, "new");
    assert_eq!(server.get("0f").await.unwrap().unwrap(), "blob");
    assert_eq!(server.get("0e").await.unwrap(), None);
    assert_eq!(server.pointer("shop").await.unwrap().unwrap().bytes, b"pointer");
    server.report("shop", "web1-a1b2", Bytes::from_static(b"well")).await.unwrap();
    until("a hint", async || (*hints.borrow() > 1).then_some(())).await;
    let reports = publisher.reports("shop").await.unwrap();
    assert_eq!(
        reports.into_iter().collect::<Vec<_>>(),
        [("web1-a1b2".to_owned(), Bytes::from_static(b"well"))]
    );

    // What they must not do is not answered.
    let server = connect(&nats, "web1:WEB1", Duration::from_millis(300)).await.unwrap();
    let forged = || Bytes::from_static(b"forged");
    assert!(server.report("shop", "web2-c3d4", forged()).await.is_err());
    assert!(server.report("blog", "web1-a1b2", forged()).await.is_err());
    assert!(server.put("0f", forged()).await.is_err());
    assert!(server.point("shop", 1, forged()).await.is_err());
    // Nobody waits for an answer to it, so what was sent after it has to come.
    let _ = server.announce("shop", vec![forged()]).await;
    publisher.announce("shop", vec![Bytes::from_static(b"newer")]).await.unwrap();
    assert_eq!(next(&mut heard).await, "newer");
    let publisher_in_haste = connect(&nats, "publisher:PUBLISHER", Duration::from_millis(300)).await.unwrap();
    assert!(publisher_in_haste.report("shop", "web1-a1b2", forged()).await.is_err());

    let reports = publisher.reports("shop").await.unwrap();
    assert_eq!(
        reports.into_iter().collect::<Vec<_>>(),
        [("web1-a1b2".to_owned(), Bytes::from_static(b"well"))]
    );
    assert_eq!(publisher.pointer("shop").await.unwrap().unwrap().bytes, b"pointer");
    assert_eq!(publisher.addresses().await.unwrap(), ["0f".to_owned()].into());
    let error = connect(&nats, "web1:WRONG", patience).await.map(drop).unwrap_err();
    assert!(error.contains("refuses"), "{error}");
}
