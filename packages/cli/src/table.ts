/** Lines with columns padded to their widest cell and `gap` blanks between; no blanks at line ends. Widths count characters as shown. */
export function alignColumns(rows: readonly (readonly string[])[], gap: number): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, shownWidth(cell))));
  return rows.map((row) =>
    row
      .map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - shownWidth(cell) + gap))
      .join('')
      .trimEnd(),
  );
}

// eslint-disable-next-line no-control-regex -- colour codes begin with ESC
const COLOUR = /\u001b\[\d+m/g;

function shownWidth(text: string): number {
  return Array.from(text.replace(COLOUR, '')).length;
}
