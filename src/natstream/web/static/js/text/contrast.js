// Colours that can be read: their contrast, and how a colour is moved until it has enough of it. Pure.

/** Red, green and blue, each from 0 to 255. @typedef {readonly [number, number, number]} Rgb */

// https://www.w3.org/TR/WCAG22/#contrast-minimum , for text of usual size.
export const LEAST_CONTRAST = 4.5;
// A colour is moved in steps of this share of the way to black or white.
const STEPS = 64;
/** @type {Rgb} */
const BLACK = [0, 0, 0];
/** @type {Rgb} */
const WHITE = [255, 255, 255];

/** @param {number} part of a colour, from 0 to 255 */
const linear = (part) =>
  (part <= 10.31475 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4);

/** Return the relative luminance, from 0 to 1. @param {Rgb} colour */
export const luminance = ([red, green, blue]) =>
  0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);

/** Return the contrast of two colours, from 1 to 21. @param {Rgb} one @param {Rgb} other */
export function contrast(one, other) {
  const [a, b] = [luminance(one) + 0.05, luminance(other) + 0.05];
  return a > b ? a / b : b / a;
}

/** Return a colour between two others. @param {Rgb} from @param {Rgb} to
 * @param {number} share of the way, from 0 to 1 @returns {Rgb} */
export function mixed(from, to, share) {
  const part = (/** @type {0 | 1 | 2} */ i) => Math.round(from[i] + (to[i] - from[i]) * share);
  return [part(0), part(1), part(2)];
}

/**
 * Return the colour itself if it can be read on this ground. Otherwise return the nearest one on its
 * way to white or black that can be read: the text stays lighter or darker than its ground if that is
 * possible.
 * @param {Rgb} text @param {Rgb} ground @returns {Rgb}
 */
export function readableOn(text, ground) {
  if (contrast(text, ground) >= LEAST_CONTRAST) return text;
  const ends = luminance(text) >= luminance(ground) ? [WHITE, BLACK] : [BLACK, WHITE];
  // One of the two has a contrast of 4.58 or more, whatever the ground is.
  const end = contrast(ends[0], ground) >= LEAST_CONTRAST ? ends[0] : ends[1];
  let [poor, good] = [0, STEPS];
  // Towards an end the contrast may first fall, and grows from then on without another fall.
  while (good - poor > 1) {
    const step = (poor + good) >> 1;
    if (contrast(mixed(text, end, step / STEPS), ground) >= LEAST_CONTRAST) good = step;
    else poor = step;
  }
  return mixed(text, end, good / STEPS);
}
