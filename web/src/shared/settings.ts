/** What the server says about itself before anybody talks to it; see Settings in web/pages.go. */
export interface Settings {
  socketPath: string
  auth: 'none' | 'jwt'
}

/** Asks the server for its settings. Fails if it does not answer. */
export async function settings(): Promise<Settings> {
  const answer = await fetch('/assets/settings.json')
  if (!answer.ok) throw new Error(`GET /assets/settings.json: ${answer.status}`)
  return (await answer.json()) as Settings
}
