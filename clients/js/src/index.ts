export * from './types.js'
export { RollcallError } from './errors.js'
export { createMeeting, type Meeting } from './meeting.js'
