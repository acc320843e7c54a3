//! Messages and watches.

use super::*;

#[tokio::test]
async fn a_message_comes_to_all_that_listen_and_their_pages_show_it() {
    let site = Site::new(MAIN);
    let (mut one, mut two) = (site.page().await, site.page().await);
    let listen = "handle = session:subscribe('chat.*', function(value, topic) app.heard = app.heard .. topic .. value.text end)";
    one.run(listen).await;
    two.run(listen).await;
    one.run("session:publish('chat.room', { text = '!' }) session:publish('other', 1)").await;
    one.shows(HEARD, json!("chat.room!")).await;
    two.shows(HEARD, json!("chat.room!")).await;
    two.run("session:unsubscribe(handle)").await;
    one.run("session:publish('chat.room', { text = '?' })").await;
    one.shows(HEARD, json!("chat.room!chat.room?")).await;
    assert_eq!(two.run("return app.heard").await, json!("chat.room!"));
    // A watch hears of each key, and of its end.
    two.run("app.heard = '' store.watch('k', function(key, value) app.heard = app.heard .. key .. tostring(value) end)").await;
    one.run("store.set('k1', false)").await;
    two.shows(HEARD, json!("k1false")).await;
    one.run("store.delete('k1')").await;
    two.shows(HEARD, json!("k1falsek1nil")).await;
}

#[tokio::test]
async fn ten_saves_make_one_subscription_and_it_calls_the_newest_code() {
    let main = |version: usize| {
        format!(
            "{MAIN}\nsession:subscribe('t', function(value) app.heard = app.heard .. value .. '{version}' end)\nstore.watch('w', function() app.heard = app.heard .. 'w{version}' end)"
        )
    };
    let site = Site::new(&main(0));
    let (mut one, mut two) = (site.page().await, site.page().await);
    for version in 1..=10 {
        site.save(&main(version), &[&one, &two]).await;
    }
    assert_eq!(site.hub.topics().counts()[0].subscriptions, 2);
    two.run("session:publish('t', 'v')").await;
    one.shows(HEARD, json!("v10")).await;
    two.run("store.set('w', 1)").await;
    one.shows(HEARD, json!("v10w10")).await;
    // Its line has left the file.
    site.save(MAIN, &[&one, &two]).await;
    assert_eq!(site.hub.topics().counts(), []);
}

#[tokio::test]
async fn a_session_that_has_ended_listens_to_nothing() {
    let site = Site::new(MAIN);
    let (mut one, mut two) = (site.page().await, site.page().await);
    let listen = "session:subscribe('t', function() end) store.watch('', function() end) store.get('a')";
    one.run(listen).await;
    two.run(listen).await;
    assert_eq!(site.hub.topics().counts()[0].subscriptions, 2);
    site.sessions.end(one.session.id());
    assert_eq!(site.hub.topics().counts()[0].subscriptions, 1);
    two.session.restart("a test wants it").unwrap();
    two.session.summary().await.unwrap();
    assert_eq!(site.hub.topics().counts(), [], "a new state begins with none");
}
