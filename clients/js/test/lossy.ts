import { createServer, request as forward } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'

/** A proxy for WebSockets that loses whole events on their way to clients, as no real line does: what it takes to try every gap. */
export class LossyProxy {
  base = ''
  /** How many of the events are lost, 0 to 1. */
  loss = 0
  /** Nothing comes from the server any more. */
  mute = false
  lost = 0
  passed = 0
  /** Events of clients, by name. */
  readonly asked = new Map<string, number>()
  /** Who tried to connect, and when, in milliseconds since 1970. */
  readonly tries: { userId: string; at: number }[] = []

  private constructor(
    /** The server behind it; where it is "" connections are refused. */
    public target: string,
    private readonly random: () => number,
  ) {}

  static async start(t: TestContext, target: string, random: () => number = Math.random): Promise<LossyProxy> {
    const proxy = new LossyProxy(target, random)
    const http = createServer((_, response) => response.writeHead(503).end()) // no polling through here
    const sockets = new WebSocketServer({ noServer: true })
    http.on('upgrade', (request, socket, head) => {
      proxy.tries.push({ userId: new URL(request.url ?? '', proxy.base).searchParams.get('userId') ?? '', at: Date.now() })
      if (proxy.target === '') return socket.destroy()
      sockets.handleUpgrade(request, socket, head, (client) => proxy.join(client, new WebSocket(proxy.target.replace('http', 'ws') + request.url)))
    })
    await new Promise<void>((done) => http.listen(0, '127.0.0.1', done))
    proxy.base = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
    t.after(() => {
      for (const client of sockets.clients) client.terminate()
      http.close()
    })
    return proxy
  }

  private join(client: WebSocket, server: WebSocket): void {
    const early: string[] = []
    client.on('message', (data) => {
      const text = String(data)
      const [, name] = /^42\d*\["([^"]+)"/.exec(text) ?? []
      if (name) this.asked.set(name, (this.asked.get(name) ?? 0) + 1)
      if (server.readyState === WebSocket.OPEN) server.send(text)
      else early.push(text)
    })
    server.on('open', () => early.forEach((text) => server.send(text)))
    server.on('message', (data) => {
      if (this.mute) return
      const text = String(data)
      const event = text.startsWith('42')
      if (event && this.random() < this.loss) return void this.lost++
      if (event) this.passed++
      client.send(text)
    })
    // Neither end says why, as when a line breaks.
    client.on('close', () => server.terminate())
    server.on('close', () => client.terminate())
    client.on('error', () => {})
    server.on('error', () => {})
  }
}

/** A proxy that lets no WebSocket through, as some in companies. Returns its address. */
export async function pollingOnly(t: TestContext, target: string): Promise<string> {
  const proxy = createServer((request, response) => {
    const { hostname, port } = new URL(target)
    const onward = forward({ hostname, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  proxy.on('upgrade', (_, socket) => socket.destroy())
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done))
  t.after(() => void (proxy.close(), proxy.closeAllConnections()))
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
}
