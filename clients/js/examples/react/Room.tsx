import { useMeeting } from './useMeeting'

export function Room({ userId, conferenceId }: { userId: string; conferenceId: string }) {
  const { meeting, snapshot } = useMeeting(userId, conferenceId)
  const unacknowledged = snapshot?.inbox.items.filter((item) => item.requireAck && !item.read && !item.acknowledged)
  return (
    <>
      <p>Connection: {snapshot?.connection.state}</p>
      <ul>
        {snapshot?.roster?.users.map((user) => (
          <li key={user.userId}>
            {user.userName || user.userId}: {user.state}
          </li>
        ))}
      </ul>
      {unacknowledged?.map((item) => (
        <p key={item.id}>
          {item.title} <button onClick={() => void meeting?.acknowledge([item.id])}>Understood</button>
        </p>
      ))}
    </>
  )
}
