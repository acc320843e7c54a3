//! What docs/shared-state.md shows, between pages of sessions in one process.

use super::*;

const VOTE: &str = r#"return store.update("votes", function(votes)
  votes = votes or { yes = 0 }
  votes.yes = votes.yes + 1
  return votes
end).yes"#;

#[tokio::test]
async fn a_vote_in_one_window_shows_in_each_other_without_a_topic() {
    let site = Site::new(MAIN);
    let (mut one, mut two) = (site.page().await, site.page().await);
    assert_eq!(one.run(VOTE).await, json!(1));
    two.shows(POLL, json!(1)).await;
    assert_eq!(two.run(VOTE).await, json!(2), "who votes reads what it wrote");
    one.shows(POLL, json!(2)).await;
    two.run("store.set('here.b', 1) store.set('here.a', true)").await;
    one.shows(KEYS, json!("here.a here.b")).await;
    one.run("store.set('here.b', 1, { ttl = 20 })").await;
    two.shows(KEYS, json!("here.a")).await;
    one.run("store.delete('here.a')").await;
    two.shows(KEYS, json!("")).await;
}

#[tokio::test]
async fn the_poll_of_the_page_shows_a_vote_in_two_windows_and_after_a_restart_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["voteYes()", "voteNo()", "yes()", "no()"];
    let site = Site::written_in(dir.path(), "A poll");
    let (mut one, mut two) = (site.page_with(&paths).await, site.page_with(&paths).await);
    two.shows(4, json!(0)).await;
    one.send(vec![write(2, Value::Null)]).await;
    one.send(vec![write(2, Value::Null), write(3, Value::Null)]).await;
    for page in [&mut one, &mut two] {
        page.shows(4, json!(2)).await;
        page.shows(5, json!(1)).await;
    }
    site.sessions.end_all();
    drop((site, one, two));
    let site = Site::written_in(dir.path(), "A poll");
    let mut again = site.page_with(&paths).await;
    again.shows(4, json!(2)).await;
    again.shows(5, json!(1)).await;
}

#[tokio::test]
async fn the_chat_of_the_page_keeps_fifty_lines_and_rings_in_each_window() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::written_in(dir.path(), "A chat");
    let paths = ["send()", "text", "lines()", "heard()"];
    let (mut one, mut two) = (site.page_with(&paths).await, site.page_with(&paths).await);
    for n in 1..=52 {
        one.send(vec![write(3, json!(format!("line {n}"))), write(2, Value::Null)]).await;
    }
    let lines: Vec<_> = (3..=52).map(|n| format!("line {n}")).collect();
    for page in [&mut one, &mut two] {
        page.shows(4, json!(lines.join("\n"))).await;
        page.shows(5, json!("new: line 52")).await;
    }
}

#[tokio::test]
async fn who_is_here_counts_windows_until_they_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (main, template) = on_the_page("Who is here");
    // As on the page, only sooner.
    let main = main.replace("6000", "600").replace("2000", "100");
    let files = [("main.lua", Some(&*main)), ("App.DEFAULT.html", Some(&*template))];
    let site = Site::of(&files, dir.path(), BindingRule::Templates, |_| {});
    let (mut one, mut two) = (site.page_with(&["count()"]).await, site.page_with(&["count()"]).await);
    one.shows(2, json!(2)).await;
    two.shows(2, json!(2)).await;
    site.sessions.end(two.session.id());
    one.shows(2, json!(1)).await;
}
