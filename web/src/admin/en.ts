/** The texts of this page; zh.ts has the same keys. */
export default { title: 'rollcall' }
