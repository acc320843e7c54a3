// Which items of a long list are near what a person sees. In place of the others stand two empty elements, as high
// as those would be.

/** A shorter list is shown as a whole. */
const LONG = 200;
/** So many are shown before it is known how high they are. */
const FIRST = 50;
/** More would take a while, however low they are. */
const MOST = 400;

/**
 * @param {Element} element of a list @param {number} count of its items
 * @param {Record<string, any>} properties `whole` says that all shall be there
 */
export const isLong = (element, count, properties) => count > LONG && element.localName !== "select" && !("whole" in properties);

/** In place of the items before and after those that are there. */
export class Near {
  /** @param {Element} element of the list @param {string} tag of its items @param {() => void} look when others may be near */
  constructor(element, tag, look) {
    this.element = element;
    this.before = makeSpace(tag);
    this.after = makeSpace(tag);
    let planned = 0;
    const plan = () => (planned ||= requestAnimationFrame(() => {
      planned = 0;
      look();
    }));
    const abort = new AbortController();
    const options = { capture: true, passive: true, signal: abort.signal };
    for (const what of ["scroll", "resize"]) addEventListener(what, plan, options);
    const observer = new ResizeObserver(plan); // its rows come later, and may be higher then
    observer.observe(element);
    this.end = () => {
      abort.abort();
      observer.disconnect();
      cancelAnimationFrame(planned);
      this.before.remove();
      this.after.remove();
    };
  }

  /**
   * The places that should be there, if others than `first` and the next `count` are.
   * @param {number} first @param {number} count @param {number} total
   * @returns {[number, number] | undefined}
   */
  wanted(first, count, total) {
    const [top, bottom] = seen(this.element);
    const start = this.before.getBoundingClientRect().top;
    const each = this.each(count);
    if (!(each > 0) || bottom <= top) return undefined;
    const above = this.before.getBoundingClientRect().height;
    /** @param {number} y from the top of the list */
    const place = (y) => (y <= 0 ? 0 : y < above ? (y / above) * first : first + (y - above) / each);
    const screen = bottom - top;
    const from = clamp(Math.floor(place(top - start)), 0, total);
    const to = clamp(Math.ceil(place(bottom - start)), from, total);
    const spare = Math.min(Math.ceil(screen / each), (MOST - (to - from)) / 2);
    // What is seen is there, with something around it that one may scroll to.
    if (from - spare / 2 >= first || first === 0) {
      if (to + spare / 2 <= first + count || first + count === total) return undefined;
    }
    // An even number, so that rows of two colours keep theirs.
    return [clamp(from - spare, 0, total) & ~1, clamp(Math.min(to, from + MOST) + spare, 0, total)];
  }

  /** Whether the items stand side by side, all in one row. */
  isRow() {
    const first = this.before.nextElementSibling?.getBoundingClientRect();
    const last = this.after.previousElementSibling?.getBoundingClientRect();
    return Boolean(first && last && first.top === last.top && first.left < last.left);
  }

  /** The mean height of an item. @param {number} count */
  each(count) {
    return (this.after.getBoundingClientRect().top - this.before.getBoundingClientRect().bottom) / count;
  }

  /** @param {number} above @param {number} below heights in pixels */
  stretch(above, below) {
    this.before.style.height = `${above}px`;
    this.after.style.height = `${below}px`;
  }
}

/** How many are shown at first, or still. @param {number} count that are there */
export const atLeast = (count) => Math.max(FIRST, count);

/** @param {string} tag */
function makeSpace(tag) {
  const space = document.createElement(tag);
  space.setAttribute("aria-hidden", "true");
  space.style.cssText = "list-style: none; visibility: hidden; margin: 0; padding: 0; border: 0; min-height: 0; height: 0;"
    + "grid-column: 1 / -1; flex: none; width: 100%";
  return space;
}

/** From where to where, in the window, something of it can be seen. @param {Element} element */
function seen(element) {
  let [top, bottom] = [0, innerHeight];
  for (let at = /** @type {Element | null} */ (element); at && at !== document.body; at = at.parentElement) {
    if (getComputedStyle(at).overflowY === "visible") continue;
    const edge = at.getBoundingClientRect();
    [top, bottom] = [Math.max(top, edge.top), Math.min(bottom, edge.bottom)];
  }
  return [top, bottom];
}

/** @param {number} value @param {number} least @param {number} most */
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
