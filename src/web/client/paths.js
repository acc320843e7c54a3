// The text of a ui-* attribute: `path?key=value&flag`.

/**
 * @param {string} text
 * @returns {{path: string, properties: Record<string, string>}} a bare flag reads "true"
 */
export function parsePath(text) {
  const cut = text.search(/\?|$/);
  /** @type {Record<string, string>} */
  const properties = {};
  for (const [, key, value = "true"] of text.slice(cut + 1).matchAll(/([^=&]+)(?:=([^&]*))?/g)) {
    properties[key.trim()] = value;
  }
  return { path: text.slice(0, cut).trim(), properties };
}

/**
 * For a `create` message.
 * @param {string} text @param {Record<string, string | undefined>} [defaults]
 * @returns {{path: string, [name: string]: string | undefined}}
 */
export function variableProperties(text, defaults) {
  const { path, properties } = parsePath(text);
  return { path, ...defaults, ...properties };
}
