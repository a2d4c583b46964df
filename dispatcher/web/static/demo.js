// The demo page: takes a token from the field, or asks for one when the address says ?user=.
"use strict";

const form = document.querySelector("#sign-in");
const state = document.querySelector("#state");

const show = async (token) => {
  form.hidden = true;
  state.textContent = "Connected.";
  const status = await window.showTidingsBanner(token);
  form.hidden = false;
  state.textContent = status === 204 ? "There is no such account." : "This token is not valid any more.";
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  show(form.elements.token.value.trim());
});

const user = new URLSearchParams(location.search).get("user");
if (user) {
  fetch(`/demo/banner/token?user=${encodeURIComponent(user)}`)
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error("no token"))))
    .then(({ token }) => show(token))
    .catch(() => { state.textContent = "There is no such user in the demo."; });
}
