// Saved files of html/: a stylesheet or an image is exchanged where it stands, for anything else the page is
// loaded again.

import { BASE } from "./connection.js";

/** CSS properties that show images. */
const SHOWING = ["background-image", "border-image-source", "content", "cursor", "list-style-image", "mask-image"];

let count = 0;

/** @param {{files: string[], reload: boolean}} saved their addresses below the server's base */
export function takeFiles({ files, reload }) {
  console.debug(`[hot] ${files.map((file) => `html/${file}`).join(", ")}`);
  if (reload) {
    location.reload();
    return;
  }
  count++;
  const saved = new Set(files.map((file) => new URL(encodeURI(file), BASE).pathname));
  const roots = [...allRoots(document)];
  const images = files.some((file) => !file.endsWith(".css"));
  for (const root of roots) exchangeStyles(root, saved, files);
  if (!images) return;
  for (const root of roots) {
    exchangeImages(root, saved);
    for (const sheet of root.styleSheets) exchangeInRules(sheet, saved);
  }
}

/** The document, and what is in its shadow roots. @param {Document | ShadowRoot} root @returns {Generator<Document | ShadowRoot>} */
function* allRoots(root) {
  yield root;
  for (const { shadowRoot } of root.querySelectorAll("*")) if (shadowRoot) yield* allRoots(shadowRoot);
}

/** With another query it is another file to the browser. @param {string} address @param {Set<string>} saved @param {string | URL} [base] */
function renewed(address, saved, base = document.baseURI) {
  const url = URL.canParse(address, base) ? new URL(address, base) : null;
  if (!url || url.origin !== location.origin || !saved.has(url.pathname)) return null;
  url.searchParams.set("hot", String(count));
  return url.href;
}

/** @param {Document | ShadowRoot} root @param {Set<string>} saved @param {string[]} files */
function exchangeStyles(root, saved, files) {
  const links = [...root.querySelectorAll("link[rel~=stylesheet]")].map((link) => /** @type {HTMLLinkElement} */ (link));
  const own = links.filter((link) => new URL(link.href, document.baseURI).origin === location.origin);
  const direct = own.filter((link) => renewed(link.href, saved));
  const css = files.some((file) => file.endsWith(".css"));
  // What no link names is imported by one of them.
  const affected = direct.length || !css ? direct : own;
  for (const link of affected) {
    const next = /** @type {HTMLLinkElement} */ (link.cloneNode());
    const url = new URL(link.href, document.baseURI);
    url.searchParams.set("hot", String(count));
    next.href = url.href;
    // The old one stays until the new one is there: no moment without styles.
    next.onload = next.onerror = () => link.remove();
    link.after(next);
  }
  const imports = (/** @type {Element} */ style) => files.some((file) => style.textContent?.includes(file));
  for (const style of root.querySelectorAll("style")) if (imports(style)) style.textContent = String(style.textContent);
}

/** @param {Document | ShadowRoot} root @param {Set<string>} saved */
function exchangeImages(root, saved) {
  for (const element of root.querySelectorAll("img, source, image, input[type=image], video[poster], link[rel~=icon]")) {
    for (const name of ["src", "href", "poster"]) {
      const address = element.getAttribute(name);
      const next = address && renewed(address, saved);
      if (next) element.setAttribute(name, next);
    }
    const set = element.getAttribute("srcset");
    if (!set) continue;
    const next = set.split(",").map((part) => {
      const [address, ...size] = part.trim().split(/\s+/);
      return [renewed(address, saved) ?? address, ...size].join(" ");
    }).join(", ");
    if (next !== set) element.setAttribute("srcset", next);
  }
  for (const element of root.querySelectorAll("[style*='url(']")) exchangeIn(/** @type {HTMLElement} */ (element).style, saved);
}

/** @param {any} sheet or a rule with rules in it @param {Set<string>} saved @param {string} [base] */
function exchangeInRules(sheet, saved, base = sheet.href ?? document.baseURI) {
  let rules = [];
  try {
    rules = [...sheet.cssRules ?? []];
  } catch {
    return; // of another origin
  }
  for (const rule of rules) {
    if (rule.style) exchangeIn(rule.style, saved, base);
    if (rule.styleSheet) exchangeInRules(rule.styleSheet, saved);
    exchangeInRules(rule, saved, base);
  }
}

/** @param {CSSStyleDeclaration} style @param {Set<string>} saved @param {string} [base] */
function exchangeIn(style, saved, base) {
  for (const name of SHOWING) {
    const old = style.getPropertyValue(name);
    const next = old.replace(/url\((["']?)(.*?)\1\)/g, (all, _quote, address) => {
      const url = renewed(address, saved, base);
      return url ? `url("${url}")` : all;
    });
    if (next !== old) style.setProperty(name, next, style.getPropertyPriority(name));
  }
}
