/**
 * What a server says when it does not do what it was asked. `code` is one of docs/protocol.md; or `offline` if nobody could be asked or the line was lost
 * before the answer came, so that it may have been done or not; or `timeout` if there was no answer within ten seconds.
 */
export class RollcallError extends Error {
  constructor(readonly code: string, message: string) {
    super(message)
    this.name = 'RollcallError'
  }
}
