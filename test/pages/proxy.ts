import net from 'node:net'
import type { AddressInfo } from 'node:net'

/** A line between a browser and the server that can be cut. To the browser it is the server. */
export class Line {
  private constructor(private readonly server: net.Server, private readonly open: Set<net.Socket>, readonly url: string) {}

  private cut_ = false

  /** Lays a line to a server. */
  static async to(target: string): Promise<Line> {
    const { hostname, port } = new URL(target)
    const open = new Set<net.Socket>()
    const server = net.createServer((near) => {
      if (line.cut_) {
        near.destroy()
        return
      }
      const far = net.connect(Number(port), hostname)
      for (const [a, b] of [[near, far], [far, near]] as const) {
        open.add(a)
        a.on('error', () => b.destroy())
        a.on('close', () => { open.delete(a); b.destroy() })
        a.pipe(b)
      }
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const line: Line = new Line(server, open, `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    return line
  }

  /** Breaks all connections, and refuses new ones until join. */
  cut(): void {
    this.cut_ = true
    for (const s of this.open) s.resetAndDestroy()
  }

  join(): void {
    this.cut_ = false
  }

  close(): void {
    this.cut()
    this.server.close()
  }
}
