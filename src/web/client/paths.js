// The text of a ui-* attribute: `path?key=value&flag`.

/**
 * @param {string} text
 * @returns {{path: string, properties: Record<string, string>}} a bare flag reads "true"
 */
export function parsePath(text) {
  const cut = text.search(/\?|$/);
  const properties = /** @type {Record<string, string>} */ ({});
  for (const [, key, value = "true"] of text.slice(cut + 1).matchAll(/([^=&]+)(?:=([^&]*))?/g)) {
    properties[key.trim()] = value;
  }
  return { path: text.slice(0, cut).trim(), properties };
}

/**
 * What a `create` message says of a variable.
 * @param {string} text
 * @param {Record<string, string | undefined>} [defaults] where the attribute says nothing
 */
export function variableProperties(text, defaults) {
  const { path, properties } = parsePath(text);
  return { path, ...defaults, ...properties };
}
