export default { title: 'rollcall' }
