import type { DecorationRenderOptions } from "vscode";

import { LEVELS, type Bucket, type Direction } from "../state/paint.js";
import type { PaletteName } from "../state/settings.js";

/** The kinds of theme that need colours of their own. */
export type ThemeName = "light" | "dark" | "highContrastLight" | "highContrastDark";

type Colour = readonly [red: number, green: number, blue: number];
type Pair = Readonly<Record<Direction, Colour>>;

/** Pairs that stay apart for readers with any of the common colour vision deficiencies. */
const PALETTES: Readonly<Record<PaletteName, Readonly<Record<"light" | "dark", Pair>>>> = {
  "blue-orange": {
    light: { for: [235, 120, 10], against: [30, 100, 200] },
    dark: { for: [240, 135, 30], against: [55, 130, 235] },
  },
  "purple-green": {
    light: { for: [130, 50, 150], against: [20, 130, 60] },
    dark: { for: [175, 100, 200], against: [50, 160, 90] },
  },
  "blue-yellow": {
    light: { for: [225, 175, 0], against: [0, 50, 110] },
    dark: { for: [235, 200, 40], against: [80, 120, 200] },
  },
};

const HIGH_CONTRAST: Readonly<Record<"highContrastLight" | "highContrastDark", Pair>> = {
  highContrastLight: { for: [150, 60, 0], against: [0, 60, 160] },
  highContrastDark: { for: [255, 175, 80], against: [130, 190, 255] },
};

const OPACITIES: Readonly<Record<"light" | "dark", readonly number[]>> = {
  light: [0.14, 0.25, 0.37, 0.5, 0.64],
  dark: [0.18, 0.29, 0.41, 0.53, 0.66],
};
const STALE = 0.35;

function isHighContrast(theme: ThemeName): theme is keyof typeof HIGH_CONTRAST {
  return theme === "highContrastLight" || theme === "highContrastDark";
}

function rgba([red, green, blue]: Colour, opacity: number): string {
  return `rgba(${String(red)}, ${String(green)}, ${String(blue)}, ${opacity.toFixed(3)})`;
}

/** Strength as the weight of border and underline; the direction as the style of the border. */
function outlined(
  colour: string,
  bucket: [Direction, number],
  isStale: boolean,
): DecorationRenderOptions {
  const [direction, level] = bucket;
  if (isStale) return { border: `1px dotted ${colour}` };
  const weight = 1 + Math.floor(level / 2);
  const style = direction === "for" ? "solid" : "dashed";
  return {
    border: `${String(weight)}px ${style} ${colour}`,
    textDecoration: level >= 2 ? `underline ${String(level - 1)}px` : "none",
  };
}

/** How a bucket looks under a theme. */
export function look(
  bucket: Bucket,
  theme: ThemeName,
  palette: PaletteName,
  isStale: boolean,
): DecorationRenderOptions {
  const [direction, digit] = bucket.split("-") as [Direction, string];
  const level = Math.min(Number(digit), LEVELS - 1);
  if (isHighContrast(theme)) {
    const colour = rgba(HIGH_CONTRAST[theme][direction], 1);
    return outlined(colour, [direction, level], isStale);
  }
  const opacity = (OPACITIES[theme][level] ?? 0) * (isStale ? STALE : 1);
  return {
    backgroundColor: rgba(PALETTES[palette][theme][direction], opacity),
    borderRadius: "3px",
  };
}
