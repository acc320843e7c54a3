// A place of our own on the page: its styles and the site's do not meet.

/**
 * @param {string} name of the host element
 * @param {string} css
 * @returns {ShadowRoot}
 */
export function shadowHost(name, css) {
  const host = document.createElement(name);
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet(); // a <style> would be stopped by a strict CSP
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [sheet];
  document.body.append(host);
  return root;
}
