// The page's address and title, in a real browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, gives, model, options, said, server, show, until } from "./page.mjs";

const properties = (properties) => ({ type: "update", data: { varId: 1, properties } });
const told = () => said("update").filter(({ data }) => data.varId === 1).map(({ data }) => data.properties.url);
const start = async () => {
  model.name = "Ada";
  await show("<p ui-value=name></p>");
  const session = (await browser.run("return location.pathname")).split("/")[1];
  await browser.run("window.marker = 'the same page'");
  return session;
};

test("the window has the title that variable 1 has, else that of the page", options, async () => {
  await start();
  const own = await browser.run("return document.title");
  server.send(properties({ title: "<b>3 open" }));
  await gives("return document.title", "<b>3 open");
  server.send(properties({ title: "" }));
  await gives("return document.title", own);
});

test("the server leads to another address on the same page; back and forward are told, and not echoed", options, async () => {
  const session = await start();
  for (const url of ["/cards/7?x=1", "/ä b", "/"]) server.send(properties({ url }));
  // The last address is the one that it had at first, so that tells nothing.
  server.send(properties({ title: "all came" }));
  await gives("return document.title", "all came");
  assert.equal(await browser.run("return location.pathname"), `/${session}`);
  await browser.run("history.back()");
  await until("the way back", () => told().length === 1);
  await gives("return decodeURI(location.pathname)", `/${session}/ä b`);
  server.send(properties({ url: told()[0] }));
  await browser.run("history.back()");
  await until("further back", () => told().length === 2);
  await browser.run("history.forward()");
  await until("forward", () => told().length === 3);
  assert.deepEqual(told(), [encodeURI("/ä b"), "/cards/7?x=1", encodeURI("/ä b")]);
  assert.equal(server.state.batches.at(-1).userEvent, true);
  assert.equal(await browser.run("return window.marker"), "the same page");
});

test("no address of the server leads out of the session, and a #fragment is none of its business", options, async () => {
  const session = await start();
  const before = await browser.run("return location.pathname");
  for (const url of ["/../other", "/../../_hot/", "/x/../../y"]) server.send(properties({ url }));
  server.send(properties({ title: "all came" }));
  await gives("return document.title", "all came");
  assert.equal(await browser.run("return location.pathname"), before);
  server.send(properties({ url: "//other.example/x" }));
  await gives("return [location.host, location.pathname]", [await browser.run("return location.host"), `/${session}//other.example/x`]);
  await browser.run("location.hash = 'a'; location.hash = 'b'; history.back()");
  await gives("return location.hash", "#a");
  assert.deepEqual(told(), []);
});

test("where somebody has gone while the server was away is told when it is back", options, async () => {
  await start();
  server.send(properties({ url: "/one" }));
  await gives("return location.pathname.endsWith('/one')", true);
  server.state.away = true;
  server.cut();
  await until("the socket to be gone", () => server.state.sockets.size === 0);
  await browser.run("history.back()");
  await gives("return location.pathname.endsWith('/one')", false);
  server.state.away = false;
  await until("the address", () => told().length);
  assert.deepEqual(told(), ["/"]);
});
