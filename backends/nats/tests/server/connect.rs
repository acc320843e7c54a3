//! Why NATS can't be used, in words that help.

use std::{net::TcpListener, path::PathBuf, time::Duration};

use hotloader_nats::{Nats, Settings, Tls};
use hotloader_test_support::{
    nats::{NatsServer, Version},
    on_each_nats,
};

use crate::harness::{Kept, Server, settings};

on_each_nats! {
    a_wrong_password_is_an_error_that_does_not_show_it,
    without_jetstream_there_is_no_store_but_topics,
    a_bucket_of_somebody_else_is_left_alone,
    the_connection_is_encrypted_and_only_with_an_authority_that_is_trusted,
}

async fn refusal(settings: Settings) -> String {
    Nats::connect(settings, std::sync::Arc::new(Kept::default())).await.unwrap_err().to_string()
}

#[tokio::test]
async fn where_nobody_listens_the_error_says_what_to_do() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("nats://anna:secret@127.0.0.1:{port}");
    let error = refusal(Settings { connect: Duration::from_millis(300), ..settings(&url) }).await;
    assert!(error.contains(&format!("NATS at nats://127.0.0.1:{port} can't be reached")), "{error}");
    assert!(error.contains("hub.engine = \"local\"") && !error.contains("secret"), "{error}");
    let error = refusal(settings("nats://anna:secret@host:port")).await;
    assert!(error.contains("no address") && !error.contains("secret"), "{error}");
    let path = PathBuf::from("/nowhere/site.creds");
    let error = refusal(Settings { credentials: Some(path), ..settings(&url) }).await;
    assert!(error.contains("/nowhere/site.creds") && error.contains("nats.credentials"), "{error}");
}

async fn a_wrong_password_is_an_error_that_does_not_show_it(version: Version) {
    let config = "jetstream { store_dir: $DIR/store }\nauthorization { user: anna, password: right }";
    let Some(nats) = NatsServer::start_with(version, config) else { return };
    let with = |user: &str| nats.url().replace("nats://", &format!("nats://{user}@"));
    let error = refusal(settings(&with("anna:wrong"))).await;
    assert!(error.contains("refuses this server") && !error.contains("wrong"), "{error}");
    let server = Server::on(&with("anna:right")).await;
    server.set("a", "1").await;
    assert!(!format!("{:?} {}", server.nats, server.nats.url()).contains("right"));
}

async fn without_jetstream_there_is_no_store_but_topics(version: Version) {
    let Some(nats) = NatsServer::start_with(version, "") else { return };
    let error = refusal(settings(&nats.url())).await;
    assert!(error.contains("nats-server -js") && error.contains("hub.store = \"off\""), "{error}");
    let off = || Settings { has_store: false, ..settings(&nats.url()) };
    let (one, two) = (Server::with(off()).await, Server::with(off()).await);
    one.nats.subscribe("chat");
    one.hears("chat", "chat", &two).await;
}

async fn a_bucket_of_somebody_else_is_left_alone(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let client = async_nats::connect(nats.url()).await.unwrap();
    let theirs = async_nats::jetstream::stream::Config {
        name: "KV_hotloader-site-store".into(),
        subjects: vec!["theirs".into()],
        ..Default::default()
    };
    async_nats::jetstream::new(client).create_stream(theirs).await.unwrap();
    let error = refusal(settings(&nats.url())).await;
    assert!(error.contains("was not made by this program") && error.contains("nats.prefix"), "{error}");
}

async fn the_connection_is_encrypted_and_only_with_an_authority_that_is_trusted(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(file("key.pem"))
        .arg("-out")
        .arg(file("cert.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let config = format!(
        "jetstream {{ store_dir: $DIR/store }}\ntls {{ cert_file: {:?}, key_file: {:?} }}",
        file("cert.pem"),
        file("key.pem")
    );
    let Some(nats) = NatsServer::start_with(version, &config) else { return };
    let brief = Settings { connect: Duration::from_millis(500), ..settings(&nats.url()) };
    let error = refusal(brief.clone()).await;
    assert!(error.contains("certificate") || error.contains("UnknownIssuer"), "{error}");
    let tls = Tls { required: true, authority: Some(file("cert.pem")), certificate: None };
    let server = Server::with(Settings { tls: tls.clone(), ..settings(&nats.url()) }).await;
    server.set("a", "1").await;
    let missing = Tls { authority: Some(file("none.pem")), ..tls.clone() };
    let error = refusal(Settings { tls: missing, ..brief }).await;
    assert!(error.contains("none.pem") && error.contains("nats.ca"), "{error}");
    // A server that asks for no encryption gets no connection where it is wanted.
    let Some(plain) = NatsServer::start(version) else { return };
    let brief = Settings { connect: Duration::from_millis(500), tls, ..settings(&plain.url()) };
    refusal(brief).await;
}
