//! `lua.ViewList`: an item for each element.

use serde_json::{Value, json};

use super::{
    Site, values,
    wrappers::{BOARD, board, errors, property, value},
};

fn shown(site: &mut Site, path: &str) -> Vec<Value> {
    let mut messages = site.make(2, 1, path);
    messages.extend(site.make(3, 2, "items"));
    messages
}

#[test]
fn a_list_has_an_item_for_each_element() {
    let mut site = board();
    let made = shown(&mut site, "cards?wrapper=lua.ViewList");
    assert_eq!(property(&made, 2, "type"), "lua.ViewList");
    assert_eq!(property(&made, 2, "fallbackNamespace"), "list-item");
    assert_eq!(value(&made, 2).as_array().unwrap().len(), 3, "the value is the array");
    assert_eq!(value(&made, 3).as_array().unwrap().len(), 3);
    assert_ne!(value(&made, 2), value(&made, 3), "items are objects of their own");
    let item = site.make(4, 3, "1");
    assert_eq!(property(&item, 4, "type"), "lua.ViewListItem");
    assert_eq!(value(&site.make(5, 4, "item.title"), 5), "b");
    assert_eq!(value(&site.make(6, 4, "baseItem.title"), 6), "b");
    assert_eq!(value(&site.make(7, 4, "index"), 7), 1);
    assert_eq!(value(&site.make(8, 4, "list.selectionIndex"), 8), -1);
    // Who shows the variable itself as an array gets the same items.
    assert_eq!(value(&site.make(9, 2, "1"), 9), value(&item, 4));
}

#[test]
fn the_templates_of_a_list_come_with_the_server() {
    let mut site = board();
    let made = site.make(2, 1, "cards?wrapper=lua.ViewList");
    let viewdefs: Value =
        serde_json::from_str(made[0]["data"]["properties"]["viewdefs"].as_str().unwrap()).unwrap();
    let keys: Vec<_> = viewdefs.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["lua.ViewList.DEFAULT", "lua.ViewList.list-item"]);
}

#[test]
fn items_follow_their_elements_and_so_does_the_selection() {
    let mut site = board();
    let made = shown(&mut site, "cards?wrapper=lua.ViewList");
    let Value::Array(before) = value(&made, 3) else { panic!() };
    site.make(4, 2, "selectionIndex");
    assert_eq!(value(&site.make(5, 2, "selectedItem()"), 5), Value::Null);
    site.write(4, json!(0));
    let sorted = site.run("local c = BOARD.cards c[1], c[2], c[3] = c[3], c[1], c[2]");
    assert_eq!(value(&sorted, 3), json!([before[2], before[0], before[1]]));
    assert_eq!(value(&sorted, 4), 1);
    let more = site.run("table.insert(BOARD.cards, 1, Card:new { title = 'new' })");
    assert_eq!(value(&more, 4), 2);
    assert_eq!(value(&more, 3)[2], before[0]);
    let gone = site.run("table.remove(BOARD.cards, 3)");
    assert_eq!(value(&gone, 4), -1, "what was selected is gone");
    // Another array with the same elements is the same list.
    let copied = site.run("BOARD.cards = { table.unpack(BOARD.cards) }");
    assert_eq!(copied, Vec::<Value>::new());
}

#[test]
fn an_element_that_is_there_twice_has_two_items() {
    let mut site = board();
    site.eval("local c = BOARD.cards[1] BOARD.cards = { c, BOARD.cards[2], c, c }");
    let made = shown(&mut site, "cards?wrapper=lua.ViewList");
    let Value::Array(before) = value(&made, 3) else { panic!() };
    assert!(before[0] != before[2] && before[2] != before[3]);
    let moved = site.run("local c = BOARD.cards c[1], c[2] = c[2], c[1]");
    assert_eq!(value(&moved, 3), json!([before[1], before[0], before[2], before[3]]));
    let fewer = site.run("table.remove(BOARD.cards, 2)");
    assert_eq!(value(&fewer, 3), json!([before[1], before[0], before[2]]));
}

#[test]
fn an_empty_table_is_an_empty_list() {
    let mut site = board();
    let made = shown(&mut site, "empty?wrapper=lua.ViewList");
    assert_eq!((value(&made, 2), value(&made, 3)), (json!([]), json!([])));
    assert_eq!(value(&site.run("BOARD.empty[1] = 5"), 3).as_array().unwrap().len(), 1);
    assert_eq!(value(&site.run("BOARD.empty[1] = nil"), 3), json!([]));
    // A table that is made anew each time is the same empty list each time.
    site.make(4, 1, "visible()?wrapper=lua.ViewList");
    assert_eq!(site.run("return 1"), Vec::<Value>::new());
    let wrong = site.make(5, 1, "first?wrapper=lua.ViewList");
    assert!(errors(&wrong, 5)[0].1.contains("the value is no array but a Card"), "{wrong:?}");
}

#[test]
fn scalars_have_the_item_of_their_place() {
    let mut site = board();
    let made = shown(&mut site, "numbers?wrapper=lua.ViewList");
    let before = value(&made, 3);
    site.make(4, 3, "1");
    assert_eq!(value(&site.make(5, 4, "item"), 5), 20);
    let changed = site.run("BOARD.numbers[2] = 21");
    assert_eq!(value(&changed, 5), 21);
    assert_eq!(values(&changed, 3), Vec::<Value>::new(), "the items are the same: {before}");
    let hole = site.run("BOARD.numbers[4] = 40");
    assert_eq!(value(&hole, 3).as_array().unwrap().len(), 4);
}

const ITEM: &str = "
Entry = session:prototype('Entry', {})
function Entry:new(listItem)
  if listItem.baseItem.bad then error('bad entry') end
  return session:create(self, { of = listItem, label = 'entry ' .. listItem.baseItem.title })
end
function Entry:remove() self.of:remove() end
function Entry:select() self.of:select() end
";

#[test]
fn an_item_wrapper_is_what_an_item_shows() {
    let mut site = board();
    site.eval(ITEM);
    let made = shown(&mut site, "cards?wrapper=lua.ViewList&itemWrapper=Entry");
    let before = value(&made, 3);
    site.make(4, 3, "1");
    let item = site.make(5, 4, "item");
    assert_eq!(property(&item, 5, "type"), "Entry");
    assert_eq!(value(&site.make(6, 5, "label"), 6), "entry b");
    assert_eq!(value(&site.make(7, 4, "baseItem.title"), 7), "b");
    site.make(8, 2, "selectionIndex");
    site.make(9, 5, "select()?access=action");
    assert_eq!(value(&site.write(9, Value::Null), 8), 1);
    site.make(10, 5, "remove()?access=action");
    let removed = site.write(10, Value::Null);
    assert_eq!(value(&removed, 3), json!([before[0], before[2]]));
    assert_eq!(value(&removed, 8), -1);
    let bad = site.run("BOARD.cards[3] = Card:new { bad = true }");
    assert!(errors(&bad, 2)[0].1.contains("bad entry"), "{bad:?}");
    let mended = site.run("BOARD.cards[3] = nil");
    assert_eq!(value(&mended, 3), json!([before[0], before[2]]), "what was there is kept");
    let other =
        site.send(json!([{"type": "update", "data": {"varId": 2, "properties": {"itemWrapper": ""}}}]));
    assert_eq!(property(&other, 5, "type"), "Card");
}

#[test]
fn a_site_may_extend_the_prototypes_of_lists() {
    let mut site = board();
    site.eval(
        "local List = session:prototype('lua.ViewList', { title = 'mine' })
        function List:count() return #self.items end
        local Item = session:prototype('lua.ViewListItem')
        function Item:number() return self.index + 1 end
        session:prototype('Short', { short = true }, List)",
    );
    site.make(2, 1, "cards?wrapper=lua.ViewList");
    assert_eq!(value(&site.make(3, 2, "count()"), 3), 3);
    assert_eq!(value(&site.make(4, 2, "title"), 4), "mine");
    assert_eq!(value(&site.make(5, 2, "items.2.number()"), 5), 3);
    let short = site.make(6, 1, "empty?wrapper=Short");
    assert_eq!((property(&short, 6, "type"), value(&short, 6)), ("Short".into(), json!([])));
    assert_eq!(value(&site.make(7, 6, "short"), 7), true);
}

#[test]
fn a_list_outlives_a_reload_that_fails_and_one_that_does_not() {
    let mut site = Site::new(&[("main.lua", BOARD)]);
    // The list's prototypes are loaded within the reload that is undone.
    let using = format!("{BOARD}\nsession:prototype('lua.ViewList').extra = 1\nerror('late')");
    site.failure("main.lua", &using);
    site.received();
    let made = shown(&mut site, "cards?wrapper=lua.ViewList");
    let before = value(&made, 3);
    assert_eq!(value(&site.make(4, 2, "extra"), 4), Value::Null);
    site.failure(
        "main.lua",
        &format!("{BOARD}\nsession:prototype('lua.ViewList').sync = nil\nerror('late')"),
    );
    site.save_one("main.lua", &format!("{BOARD}\n-- saved"));
    site.received();
    let more = site.run("BOARD = session:getApp() table.insert(BOARD.cards, 1, Card:new {})");
    assert_eq!(value(&more, 3)[1], before[0]);
}

#[test]
fn each_browser_has_a_list_of_its_own() {
    let mut site = board();
    shown(&mut site, "cards?wrapper=lua.ViewList");
    site.make(4, 2, "selectionIndex");
    site.write(4, json!(2));
    let mut site = site.another_browser();
    let made = shown(&mut site, "cards?wrapper=lua.ViewList");
    assert_eq!(property(&made, 2, "type"), "lua.ViewList");
    assert_eq!(value(&site.make(4, 2, "selectionIndex"), 4), -1);
}
