export * from './types'
export { createMeeting, RollcallError, type Meeting } from './meeting'
