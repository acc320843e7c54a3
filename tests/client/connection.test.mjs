import assert from "node:assert/strict";
import { test } from "node:test";
import { retryDelay, sessionId } from "../../src/web/client/connection.js";

const A = "a".repeat(32);
const B = "b".repeat(32);

test("the session in the path wins over the cookie", () => {
  assert.equal(sessionId(`/${A}/some/page`, `x=1; ui-session=${B}`, "/"), A);
});

test("a page that is no session takes it from the cookie", () => {
  assert.equal(sessionId("/index.html", `x=1; ui-session=${B}`, "/"), B);
  assert.equal(sessionId("/", `ui-session=${B}; y=2`, "/"), B);
});

test("below a base the path of the session begins after it", () => {
  assert.equal(sessionId(`/team/app/${A}/page`, "", "/team/app/"), A);
  assert.equal(sessionId(`/${A}/page`, `ui-session=${B}`, "/team/app/"), B);
});

test("without either there is no session", () => {
  assert.equal(sessionId("/", "other-ui-session=1", "/"), "");
});

test("the delay grows up to a bound and is spread", () => {
  assert.ok(retryDelay(0, 0.5) < retryDelay(1, 0.5));
  assert.equal(retryDelay(50, 0.5), 8000);
  assert.ok(retryDelay(3, 0) < retryDelay(3, 1));
});
