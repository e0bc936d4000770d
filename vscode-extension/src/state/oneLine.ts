/** The text on one line: line breaks as ⏎, tabs as blanks, other controls as their pictures. */
export function onOneLine(text: string): string {
  return text
    .replace(/\r\n|\r|\n/gu, "⏎")
    .replaceAll("\t", " ")
    .replace(/[\0-\x1f]/gu, (control) => String.fromCharCode(0x2400 + control.charCodeAt(0)));
}
