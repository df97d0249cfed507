FROM scratch
ADD root.tar /
LABEL org.ireko.local-base=true
CMD ["sh"]
