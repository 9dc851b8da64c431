/** One line of the Prometheus text format. */
export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

const line = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/
const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** Reads the Prometheus text format 0.0.4. Comments, and lines that are none of it, are passed over. */
export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = []
  for (const raw of text.split('\n')) {
    const found = raw.startsWith('#') ? null : line.exec(raw.trim())
    if (!found) continue
    const labels: Record<string, string> = {}
    for (const [, name, value] of (found[2] ?? '').matchAll(label)) labels[name!] = value!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))
    samples.push({ name: found[1]!, labels, value: number(found[3]!) })
  }
  return samples
}

function number(text: string): number {
  if (/^[+-]?Inf$/.test(text)) return text.startsWith('-') ? -Infinity : Infinity
  return Number(text)
}

/** The sum of all series of a metric that have these labels; 0 if there is none yet. */
export function total(samples: Sample[], name: string, labels: Record<string, string> = {}): number {
  const fits = (s: Sample) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v)
  return samples.filter(fits).reduce((sum, s) => sum + s.value, 0)
}

/** How much a counter grew per second; null where that cannot be said: no time passed, or the process behind it is another one. */
export function rate(before: number, after: number, ms: number): number | null {
  return ms > 0 && after >= before ? ((after - before) * 1000) / ms : null
}
