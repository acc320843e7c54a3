// Code and markup of the site, under a policy that lets run only what has the nonce of the page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, complaints, gives, ids, model, options, server, set, show, shows, template, viewdefs } from "./page.mjs";

test("ui-code runs its value with the element, whenever it is another one", options, async () => {
  model.code = "element.dataset.ran = [value.length, variable.initial.path, store === uiApp.getStore()].join(); window.runs = (window.runs ?? 0) + 1";
  await show("<p ui-code=code></p>");
  await gives("return document.querySelector('p').dataset.ran", `${model.code.length},code,true`);
  server.send(set(ids.code, model.code), { type: "update", data: { varId: ids.code, properties: { note: "more" } } });
  server.send(set(ids.code, "element.textContent = 'second'; window.runs++"));
  await shows("p", "second");
  assert.equal(await browser.run("return window.runs"), 2, "the same code again is no news");
  server.send(set(ids.code, null));
  assert.deepEqual(await complaints(), []);
});

test("code that fails, or is none, does not keep the page from living", options, async () => {
  Object.assign(model, { bad: "this is no code", worse: "throw new Error('on purpose')", name: "alive" });
  await show("<p ui-code=bad></p><p ui-code=worse></p><b ui-value=name></b>");
  await shows("b", "alive");
  assert.equal((await complaints()).length, 2, "the browser tells of both");
});

test("a script in a viewdef runs when its view is shown, and again when it is saved", options, async () => {
  await show("<h1>one</h1><script>window.order = [...(window.order ?? []), document.querySelector('h1').textContent]</script>");
  await gives("return window.order", ["one"]);
  server.send(viewdefs({ "App.DEFAULT": template("<h1>two</h1><script>window.order.push(document.querySelector('h1').textContent)</script>") }));
  await gives("return window.order", ["one", "two"]);
  assert.deepEqual(await complaints(), []);
});

test("what comes as data never runs", options, async () => {
  const evil = "<img src=x onerror='window.evil = 1'><script>window.evil = 2</script>";
  Object.assign(model, { html: evil, text: evil, attr: "window.evil = 3" });
  await show("<div ui-html=html></div><p ui-value=text></p><a ui-attr-onclick=attr ui-attr-href=x></a>");
  await shows("p", evil);
  await gives("return [document.querySelector('div img') !== null, document.querySelector('a').getAttribute('onclick'), window.evil ?? null]", [true, null, null]);
});

test("no attribute that is bound leads to code, however it is written", options, async () => {
  const values = {
    plain: "javascript:window.evil=1", spaced: " \n\tjava\nscript:window.evil=1", cased: "JaVaScRiPt:window.evil=1", control: "\u0001javascript:window.evil=1",
    vb: "vbscript:x", page: "data:text/html,<script>parent.evil=1</script>", bare: "data:,x", drawn: "data:image/svg+xml,<svg onload='parent.evil=1'/>", doc: "<script>parent.evil=1</script>",
    fine: "/a?javascript:", picture: "data:image/png;base64,x", words: "javascript: the good parts",
  };
  Object.assign(model, values);
  const refused = [
    "<a ui-attr-href=plain>", "<a ui-attr-href=spaced>", "<a ui-attr-href=cased>", "<a ui-attr-href=control>", "<a ui-attr-href=vb>", "<a ui-attr-href=page>", "<a ui-attr-href=bare>",
    "<iframe ui-attr-src=plain>", "<iframe ui-attr-src=drawn>", "<iframe ui-attr-srcdoc=doc>", "<form ui-attr-action=plain>", "<button ui-attr-formaction=cased>", "<object ui-attr-data=page>",
    "<svg><a ui-attr-xlink:href=plain></svg>", "<svg><animate ui-attr-values=plain></svg>", "<script ui-attr-src=fine>", "<img ui-attr-onerror=plain>",
  ];
  const kept = ["<a ui-attr-href=fine>", "<img ui-attr-src=picture>", "<img ui-attr-src=drawn>", "<b ui-attr-title=words>"];
  await show(refused.concat(kept).map((tag) => `<p>${tag}${tag.replace(/<(\w+).*/, "</$1>")}</p>`).join("") + "<i ui-value=last></i>");
  server.send(set(ids.last, "all there"));
  await shows("i", "all there");
  const kept_ = "return [...document.querySelectorAll('[ui-viewdef] p *')].flatMap((e) => [...e.attributes].filter(({ name }) => !/^(ui-|nonce)/.test(name)).map(({ name, value }) => [e.localName, name, value]))";
  await gives(kept_, [["a", "href", values.fine], ["img", "src", values.picture], ["img", "src", values.drawn], ["b", "title", values.words]]);
  assert.equal(await browser.run("return window.evil ?? null"), null);
});

test("an attribute that led somewhere harmless is gone when it would run", options, async () => {
  model.to = "/fine";
  await show("<a ui-attr-href=to></a>");
  await gives("return document.querySelector('a').getAttribute('href')", "/fine");
  server.send(set(ids.to, "javascript:1"));
  await gives("return document.querySelector('a').getAttribute('href')", null);
});

test("markup that comes as data keeps nothing that would run, and no script gets its text from data", options, async () => {
  const evil = "<img src=x onerror='evil=1'><a href='java\nscript:evil=1'>x</a><iframe srcdoc='<script>parent.evil=1</script>'></iframe><svg><a xlink:href='javascript:1'></a></svg>";
  Object.assign(model, { inside: evil, instead: evil, code: "window.evil = 1" });
  await show("<div id=here ui-html=inside></div><section><div ui-html='instead?replace'></div></section><script ui-value=code></script><script ui-html=code></script>");
  const left = "return [...document.querySelectorAll('#here *, section *')].flatMap((e) => [...e.attributes].map(({ name }) => name)).filter((name) => name !== 'src')";
  await gives(left, []);
  assert.equal(await browser.run("return window.evil ?? null"), null);
});

test("ui-html shows markup, and with replace puts it in its own place", options, async () => {
  Object.assign(model, { inside: "<b>in</b>", instead: "<i>one</i><i>two</i> and text" });
  await show("<div id=box ui-html=inside></div><section><u>before</u><div id=gone ui-html='instead?replace'></div><u>after</u></section>");
  await gives("return document.querySelector('#box').innerHTML", "<b>in</b>");
  await gives("return document.querySelector('section').innerHTML", '<u>before</u><i id="gone">one</i><i>two</i> and text<u>after</u>');
  server.send(set(ids.instead, ""));
  await gives("return document.querySelector('section').textContent", "beforeafter");
  server.send(set(ids.instead, "<em>again</em>"));
  await gives("return document.querySelector('section').innerHTML", '<u>before</u><em id="gone">again</em><u>after</u>');
  server.send(viewdefs({ "App.DEFAULT": template("<section><div ui-html='instead?replace'></div></section>") }));
  await gives("return document.querySelector('section').innerHTML", "<em>again</em>");
  assert.deepEqual(await complaints(), []);
});

test("an element with scrollOnOutput shows its end when something is added", options, async () => {
  Object.assign(model, { log: "first", lines: [{ obj: 3 }] });
  const style = "<style>pre, ul { height: 40px; overflow: auto; margin: 0 } li { height: 30px }</style>";
  await show(`${style}<pre ui-value="log?scrollOnOutput"></pre><ul ui-viewlist="lines?scrollOnOutput"></ul>`);
  await shows("pre", "first");
  server.send(set(ids.log, "line\n".repeat(50)), set(ids.lines, [3, 4, 5, 6].map((obj) => ({ obj }))));
  const atEnd = "return ['pre', 'ul'].map((css) => { const e = document.querySelector(css); return e.scrollTop > 0 && e.scrollTop + e.clientHeight >= e.scrollHeight - 1; })";
  await gives(atEnd, [true, true]);
});
